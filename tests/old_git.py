"""A git that knows no more than an old one: it refuses what came later, and else is the one that is here.

What came when: the release notes of git (Documentation/RelNotes), and the manual pages of each version.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

# The options and commands that came later than a version, by that and by subcommand; "" are git's own.
_SINCE: dict[tuple[int, int], dict[str, tuple[str, ...] | None]] = {
    (2, 31): {
        "": ("--attr-source",),
        "init": ("--ref-format",),
        "update-ref": ("--batch-updates",),
        "for-each-ref": ("--stdin", "--exclude", "--include-root-refs", "--omit-empty"),
        "cat-file": ("--batch-command", "--use-mailmap", "-Z", "-z"),
        "config": ("list", "get", "set", "unset", "--show-names"),
        "ls-tree": ("--format", "--object-only"),
        "rev-parse": ("--show-ref-format",),
        "gc": ("--cruft", "--max-cruft-size", "--expire-to"),
        "pack-refs": ("--auto", "--include", "--exclude"),
        "hook": None,
        "refs": None,
        "replay": None,
        "backfill": None,
    },
    (2, 18): {
        "": ("--config-env",),
        "init": ("-b", "--initial-branch", "--object-format"),
        "config": ("--show-scope", "--fixed-value"),
        "rev-parse": ("--show-object-format", "--path-format"),
        "maintenance": None,
        "switch": None,
        "restore": None,
        "sparse-checkout": None,
        "multi-pack-index": None,
        "for-each-repo": None,
    },
    (1, 8): {
        "": ("-C", "--super-prefix", "--literal-pathspecs", "--no-optional-locks"),
        "update-ref": ("--stdin", "-z", "--create-reflog"),
        "for-each-ref": ("--points-at", "--merged", "--no-merged", "--contains", "--ignore-case"),
        "cat-file": ("--batch-all-objects", "--buffer", "--filters", "--textconv"),
        "config": ("--type", "--default", "--show-origin", "--name-only"),
        "rev-parse": ("--git-path", "--git-common-dir", "--absolute-git-dir", "--is-shallow-repository"),
        "gc": ("--keep-largest-pack",),
        "hash-object": ("--literally",),
        "worktree": None,
        "interpret-trailers": None,
    },
}
# What such a version calls itself: those of CentOS 7, and two that are long supported.
VERSIONS = {(1, 8): "1.8.3.1", (2, 18): "2.18.4", (2, 31): "2.31.1"}


def newer(version: tuple[int, int]) -> dict[str, tuple[str, ...] | None]:
    """What a version lacks: what came after it, and after each later one."""
    found: dict[str, tuple[str, ...] | None] = {}
    for since, lacking in _SINCE.items():
        if since < version:
            continue
        for verb, options in lacking.items():
            known = found.get(verb, ())
            found[verb] = None if options is None or known is None else (*known, *options)
    return found


PROGRAM = """\
#!{python} -IS
import os, sys
NEWER, VERSION, REAL = {newer!r}, {version!r}, {real!r}
words = sys.argv[1:]
at = 0
while at < len(words) and words[at].startswith("-"):
    if words[at].split("=")[0] in NEWER[""]:
        sys.stderr.write("Unknown option: %s\\nusage: git [--version]\\n" % words[at])
        sys.exit(129)
    at += 2 if words[at] in ("-c",) else 1
verb = words[at] if at < len(words) else ""
if words == ["--version"]:
    print("git version " + VERSION)
    sys.exit(0)
if verb in NEWER and NEWER[verb] is None:
    sys.stderr.write("git: '%s' is not a git command. See 'git --help'.\\n" % verb)
    sys.exit(1)
for word in words[at + 1:]:
    if word == "--":
        break
    if word.split("=")[0] in (NEWER.get(verb) or ()):
        sys.stderr.write("error: unknown option `%s'\\nusage: git %s\\n" % (word.lstrip("-"), verb))
        sys.exit(129)
os.execv(REAL, [REAL] + words)
"""


def old_git(folder: Path, version: tuple[int, int] = (1, 8)) -> Path:
    """Make the program in a folder, for the front of PATH."""
    folder.mkdir(parents=True)
    real = shutil.which("git")
    assert real
    program = folder / "git"
    text = PROGRAM.format(python=sys.executable, newer=newer(version), version=VERSIONS[version], real=real)
    program.write_text(text)
    os.chmod(program, 0o755)
    return folder
