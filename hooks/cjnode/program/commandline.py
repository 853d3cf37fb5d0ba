"""The command line of a reproduction script."""

import hashlib
import os
import subprocess
import sys
import tempfile
from typing import Any, Dict, List, NamedTuple, Optional

from cjnode.program.reproduce import (
    Package,
    command,
    describe,
    load,
    package_around,
    task,
    task_environment,
    working_directory,
)
from cjnode.program.running import run_to_exit

# The one task of a script that `git cj show PACKAGE/TASK --script` wrote; None in a package's own script.
BAKED: Optional[Dict[str, Any]] = None

Options = NamedTuple("Options", [("verb", str), ("number", Optional[int]), ("tree", str), ("rows", str)])

USAGE = """usage: python %(name)s TASK         run a task (1-%(tasks)s) in the tree that holds this script
       python %(name)s --list       all tasks with their parameters
       python %(name)s --show TASK  one task's parameters and environment
       python %(name)s --in TREE [--rows FILE] TASK  run it in a copy of the tree
"""


def main(argv: List[str]) -> int:
    """Run, list or show tasks; returns the exit code."""
    try:
        options = _options(argv)
        package = _find(options.tree)
        if package:
            ended = _tell(options, package)
        else:
            with tempfile.TemporaryDirectory(prefix="cj-") as aside:
                _write_out(aside, ".cj")
                ended = _tell(options, load(os.path.join(aside, ".cj"), _known())._replace(tree="TREE"))
        if ended is not None or options.number is None:
            return ended or 0
        package = package or _unpacked()
        return _run(package, options.number, options.tree or package.tree, options.rows)
    except (IndexError, ValueError, OSError) as problem:
        sys.stderr.write("error: %s\n" % problem)
        return 1


def _tell(options: Options, package: Package) -> Optional[int]:
    """Say what is asked of a package; None where a task is to be run, which is one of its own."""
    usage = USAGE % {"name": os.path.basename(__file__), "tasks": package.tasks}
    if options.verb == "help":
        sys.stdout.write(usage)
    elif options.verb == "list":
        for number in range(1, package.tasks + 1):
            print(describe(task(package, number)))
    elif options.number is None:
        sys.stderr.write(usage)
        return 2
    elif options.verb == "show":
        _show(package, options.number)
    else:
        task(package, options.number)
        return None
    return 0


def _options(argv: List[str]) -> Options:
    verb, tree, rows = "run", "", ""
    number = BAKED["task"] if BAKED else None
    words = list(argv)
    while words:
        word = words.pop(0)
        if word in ("-h", "--help", "--list", "--show"):
            verb = {"-h": "help"}.get(word, word[2:])
        elif word in ("--in", "--rows") and words:
            value = os.path.abspath(words.pop(0))
            tree, rows = (value, rows) if word == "--in" else (tree, value)
        elif word.isdigit():
            number = int(word)
        else:
            raise ValueError("%r is neither a task number nor an option; try --help" % word)
    return Options(verb, number, tree, rows)


def _find(tree: str) -> Optional[Package]:
    """The package of this script: the tree around it or the one we stand in; None is the repository's."""
    known = _known()
    here = os.path.dirname(os.path.abspath(__file__))
    if tree:
        beside = BAKED is None and os.path.exists(os.path.join(here, "package.json"))
        return load(here if beside else os.path.join(tree, ".cj"), known)
    if BAKED is None:
        if not os.path.exists(os.path.join(here, "package.json")):
            raise ValueError(
                "this script belongs into the .cj folder of its package: there is no package.json here"
            )
        return load(here, _commit_around(here))
    for place in (here, os.getcwd()):
        folder = package_around(place)
        if folder and _digest(os.path.join(folder, "package.json")) == BAKED["manifest_sha256"]:
            return load(folder, known)
    return None


def _known() -> str:
    """The package's ID, or nothing."""
    return str(BAKED["package"]) if BAKED else os.environ.get("CJ_PACKAGE", "")


def _digest(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def _git(*arguments: str, stdin: bytes = b"") -> Optional[bytes]:
    try:
        done = subprocess.run(
            ("git",) + arguments, input=stdin, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
    except OSError:
        return None
    return done.stdout if done.returncode == 0 else None


def _commit_around(folder: str) -> str:
    """The package's ID when the tree is a checkout of it, or nothing."""
    written = _git("-C", folder, "cat-file", "blob", "HEAD:.cj/package.json")
    commit = _git("-C", folder, "rev-parse", "HEAD")
    if written is None or commit is None:
        return ""
    same = hashlib.sha256(written).hexdigest() == _digest(os.path.join(folder, "package.json"))
    return commit.decode("ascii").strip() if same else ""


def _unpacked() -> Package:
    """The package in a new folder below the temporary one, as its tasks find it."""
    assert BAKED
    tree = tempfile.mkdtemp(prefix="cj-%s-" % BAKED["package"][:12])
    _write_out(tree)
    package = load(os.path.join(tree, ".cj"), BAKED["package"])
    for name in package.manifest["unlinked"]:
        if os.path.lexists(os.path.join(tree, name)):
            os.unlink(os.path.join(tree, name))
    sys.stderr.write("cj: the task runs in %s and leaves its files there\n" % tree)
    return package


def _write_out(tree: str, *paths: str) -> None:
    """Write the package's files, or those below some paths, byte for byte, into a folder."""
    assert BAKED
    package_id = BAKED["package"]
    listing = _git("ls-tree", "-r", "-z", "--full-tree", package_id, *paths)
    if listing is None:
        raise ValueError(
            "the files of package %s are neither around this script nor in a git repository around the "
            "current directory; run it there, or fetch refs/cj/packages/%s first"
            % (package_id[:12], package_id)
        )
    for entry in listing.split(b"\0")[:-1]:
        words, path = entry.split(b"\t", 1)
        mode, kind, name = words.split(b" ")
        place = os.path.join(os.fsencode(tree), path)
        os.makedirs(place if kind == b"commit" else os.path.dirname(place), exist_ok=True)
        if kind == b"blob":
            content = _git("cat-file", "blob", name.decode("ascii"))
            if content is None:
                raise ValueError(
                    "the file %s of package %s is not in this repository any more; git cj fsck %s tells what "
                    "is lost" % (os.fsdecode(path), package_id[:12], package_id[:8])
                )
            _write_blob(place, mode, content)


def _write_blob(place: bytes, mode: bytes, content: bytes) -> None:
    if mode == b"120000":
        os.symlink(content, place)
        return
    with open(place, "wb") as file:
        file.write(content)
    if mode == b"100755":
        os.chmod(place, 0o755)


def _environment(package: Package, number: int, tree: str) -> Dict[str, str]:
    own = task_environment(package, task(package, number), int(os.environ.get("CJ_ATTEMPT", "1")), tree)
    return {name: value for name, value in own.items() if value or name != "CJ_PACKAGE"}


def _show(package: Package, number: int) -> None:
    here = task(package, number)
    print(describe(here))
    for name, value in sorted(_environment(package, number, package.tree).items()):
        print("  %s=%s" % (name, value))
    if package.manifest["program"]["kind"] == "command":
        print("  " + command(package, here)[2])


def _run(package: Package, number: int, tree: str, rows: str) -> int:
    here = task(package, number)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CJ_PARAM_")}
    own = _environment(package, number, tree)
    os.chdir(working_directory(package, tree))
    if package.manifest["program"]["kind"] == "command":
        words = command(package, here, tree)
        _flush()
        os.execve(words[0], words, dict(kept, **own))
    if os.environ.get("PYTHONHASHSEED") != own["PYTHONHASHSEED"]:
        # The order of sets is fixed when the interpreter starts.
        again = [sys.executable, os.path.abspath(__file__), "--in", tree]
        again += (["--rows", rows] if rows else []) + [str(number)]
        _warn(package, tree)
        _flush()
        os.execve(sys.executable, again, dict(kept, **own))
    os.environ.update(own)

    def keep(lines: bytes) -> None:
        if rows:
            with open(rows, "wb") as file:
                file.write(lines)
        else:
            sys.stdout.flush()
            sys.stdout.buffer.write(lines)

    return run_to_exit(package, here, tree, keep, lambda trace: None)


def _flush() -> None:
    sys.stdout.flush()
    sys.stderr.flush()


def _warn(package: Package, tree: str) -> None:
    for name in package.manifest["unlinked"]:
        if os.path.lexists(os.path.join(tree, name)):
            sys.stderr.write("cj: note: %s of an earlier run is here; the task did not see it\n" % name)
    for data in package.manifest.get("data") or []:
        if not os.path.exists(os.path.join(tree, data["local"])):
            words = (data["local"], package.manifest["cluster"], data["path"])
            sys.stderr.write("cj: note: data %s is not here; on %s it is %s\n" % words)
