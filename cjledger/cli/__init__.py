"""The command line: chooses the verb, and decides what becomes of errors."""

from __future__ import annotations

import errno
import os
import sys

from cjledger.cli.verbs import LAUNCHES, VERBS
from cjledger.errors import CjError, UsageError, nearest
from cjledger.render.plain import plain, plain_lines

DONE, REFUSED, MISUSED, BUG, INTERRUPTED, UNHEARD = 0, 1, 2, 3, 130, 141

# What the person's machine can do to any command, and the person can mend.
_MENDABLE = frozenset(
    (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EMFILE, errno.EIO)
) | {errno.ENAMETOOLONG}


def main(words: list[str] | None = None) -> int:
    """Run ``git cj WORDS`` and return the exit code, one of those that the manual page lists."""
    given = sys.argv[1:] if words is None else words
    # A locale that cannot write a character must not stop the answer.
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        _check_text(given)
        code = _dispatch(given)
        sys.stdout.flush()
        return code
    except CjError as problem:
        return _refuse(problem.message, problem.hint, MISUSED if isinstance(problem, UsageError) else REFUSED)
    except KeyboardInterrupt:
        sys.stderr.write("\n" + _after_interrupt(given))
        return INTERRUPTED
    except BrokenPipeError:
        # Nobody reads on: what is left in the buffer goes nowhere, and the interpreter stays quiet.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return UNHEARD
    except MemoryError:
        return _refuse("there is not enough memory for this", "ask for less at a time", REFUSED)
    except Exception as problem:
        if isinstance(problem, OSError) and problem.errno in _MENDABLE:
            where = f"{problem.filename}: " if problem.filename else ""
            return _refuse(f"{where}{problem.strerror}", "mend that, then run the command again", REFUSED)
        return _bug(problem, given)
    except BaseException as problem:
        if type(problem).__name__ != "PanicException":  # what a library in Rust raises is no Exception
            raise
        return _bug(problem, given)


def _after_interrupt(given: list[str]) -> str:
    """What the person must know who stopped a command."""
    if {"--wait", "--watch", "-w"} & set(given):
        return "the tasks go on: git cj state shows how far they are\n"
    if given[:1] and given[0] in LAUNCHES:
        return "git cj log shows whether it was launched, git cj submit PID sends it\n"
    return ""


def _bug(problem: BaseException, given: list[str]) -> int:
    from cjledger.cli.bugs import save

    return _complain(f"a bug in git cj: {type(problem).__name__}; {save(problem, given)}", BUG)


def _check_text(words: list[str]) -> None:
    """Refuse words that no table, package or message could hold."""
    for word in words:
        try:
            word.encode()
        except UnicodeEncodeError:
            shown = word.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
            hint = "name files and values in UTF-8; locale shows yours"
            raise UsageError(f"{shown}: not text in UTF-8", hint) from None


def _dispatch(words: list[str]) -> int:
    if not words:
        return _help([], MISUSED)
    name, rest = words[0], words[1:]
    if name in ("-h", "--help", "help"):
        return _help(rest)
    if name in ("--version", "-V", "version"):
        from cjledger.cli import manual

        print(manual.version_line())
        return DONE
    if name == "_complete":
        from cjledger.cli.completion import answer

        return answer(rest)
    if name not in VERBS:
        _unknown(name)
    passed: tuple[str, ...] = ()
    if name in LAUNCHES and "--" in rest:
        at = rest.index("--")
        rest, passed = rest[:at], tuple(rest[at + 1 :])
    if name in LAUNCHES:
        from cjledger.cli.headstart import ahead

        with ahead(rest, passed) as begun:
            from cjledger.cli.app import run

            return run(name, rest, begun)
    from cjledger.cli.app import run  # typer takes most of a short command's time: not for the lines above

    return run(name, rest)


def _help(words: list[str], code: int = DONE) -> int:
    if not words:
        from cjledger.cli import manual

        sys.stdout.write(manual.overview())
        return code
    if words[0] not in VERBS:
        _unknown(words[0])
    from cjledger.cli.app import run

    return run(words[0], ["-h"])


def _unknown(name: str) -> None:
    kind = "option" if name.startswith("-") else "verb"
    close = nearest(name, VERBS)
    raise UsageError(f"there is no {kind} {name}", f"git cj {close}" if close else "git cj -h")


def _refuse(message: str, hint: str, code: int) -> int:
    lines = [f"error: {plain_lines(message)}"]
    if hint:
        lines.append(f"hint: {plain_lines(hint)}")
    sys.stdout.flush()
    print("\n".join(lines), file=sys.stderr)
    return code


def _complain(message: str, code: int) -> int:
    print(f"error: {plain(message)}", file=sys.stderr)
    return code
