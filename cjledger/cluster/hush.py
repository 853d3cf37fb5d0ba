"""ssh without what a login shell prints: git reads every byte of it as its own protocol.

Run as a program, ``hush.py MARK ssh …``: what comes before the line MARK is dropped, the rest passed on.
"""

import os
import subprocess
import sys

_CHUNK = 1 << 16


def main(mark: bytes, argv: list[str]) -> int:
    """Run ``argv``; its exit code."""
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as process:
        assert process.stdout
        source, seen = process.stdout.fileno(), b"\n"
        while (at := seen.find(b"\n" + mark + b"\n")) < 0:
            part = os.read(source, _CHUNK)
            if not part:
                return process.wait()
            # The mark may come in two parts; what is before it may be long.
            seen = seen[-len(mark) - 2 :] + part
        rest = seen[at + len(mark) + 2 :]
        try:
            while rest or (rest := os.read(source, _CHUNK)):
                rest = rest[os.write(1, rest) :]
        except BrokenPipeError:
            process.kill()  # git is gone
    return process.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1].encode(), sys.argv[2:]))
