"""Take in what was pushed: make each commit a package here, and submit it.

May be killed between any two lines and run again, by the hook of the next push or by ``submit``.
"""

import os
import re
import sys
from typing import Any, BinaryIO, Dict, List, Optional

from cjnode.errors import NodeError
from cjnode.repository.gitbare import Arrival

_LINE = re.compile(r"(?:0{40}|0{64}) ([0-9a-f]{40}(?:[0-9a-f]{24})?) refs/cj/inbox/([0-9a-f]+)\n?\Z")


def hook(root: str) -> int:
    """What ``post-receive`` runs: pushed refs on standard input, the client on file 3, the log on 1 and 2."""
    os.umask(0o077)
    with os.fdopen(3, "wb") as reply:
        return receive(os.path.realpath(root), sys.stdin.readlines(), reply)


def receive(root: str, lines: List[str], reply: BinaryIO) -> int:
    """Take in each pushed ref and answer a ``cj {…}`` line for it. Returns the exit code."""
    matches = [match for match in map(_LINE.match, lines) if match]
    pushed = [match.group(1) for match in matches if match.group(1) == match.group(2)]
    # git looks at the first one while the rest of us loads: a launch waits for both.
    arrival = Arrival(root, pushed[0]) if pushed else None
    from cjnode import files
    from cjnode.records import layout

    code = 0
    answers = []
    for package in pushed:
        try:
            answers.append(_take_in(root, package, arrival))
        except NodeError as problem:
            refused = problem
        except OSError as problem:
            from cjnode import space

            full = space.refusal(problem, root)
            if full is None:
                raise
            refused = full
        else:
            continue
        finally:
            arrival = None
        code = 1
        answers.append({"package": package, "error": refused.error, "hint": refused.hint})
    # The last thing: a client who left must find the work done.
    reply.write(b"".join(b"cj " + files.canonical(answer) + b"\n" for answer in answers))
    reply.flush()
    if layout.has_backlog(root):
        from cjnode.submission.drain import drain

        drain(root)
    return code


def _take_in(root: str, package: str, arrival: Optional[Arrival]) -> Dict[str, Any]:
    from cjnode.repository.adopt import adopt
    from cjnode.submission.entry import submit
    from cjnode.submission.submit import Request

    adopt(root, package, arrival)
    return submit(root, Request(package, 1, package, "", 1, None, None, [], {}))
