"""A git that knows no more than an old one: it refuses what came later, and else is the one that is here.

What came when: the release notes of git (Documentation/RelNotes), and the manual pages of each version.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

# The options and commands that are newer than the version, by subcommand; "" are git's own.
NEWER = {
    (1, 8, 3): {
        "": (
            "-C",
            "--super-prefix",
            "--config-env",
            "--attr-source",
            "--literal-pathspecs",
            "--no-optional-locks",
        ),
        "init": ("-b", "--initial-branch", "--object-format", "--ref-format"),
        "update-ref": ("--stdin", "-z", "--create-reflog"),
        "for-each-ref": ("--points-at", "--merged", "--no-merged", "--contains", "--ignore-case", "--stdin"),
        "cat-file": ("--batch-all-objects", "--buffer", "--filters", "--textconv", "--batch-command", "-Z"),
        "config": ("--type", "--default", "--show-origin", "--show-scope", "--name-only", "--fixed-value"),
        "ls-tree": ("--format", "--object-only"),
        "rev-parse": ("--git-path", "--git-common-dir", "--absolute-git-dir", "--is-shallow-repository"),
        "hash-object": ("--literally",),
        "worktree": None,
        "interpret-trailers": None,
        "maintenance": None,
        "switch": None,
        "restore": None,
    },
}

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


def old_git(folder: Path, version: tuple[int, int, int] = (1, 8, 3)) -> Path:
    """Make the program in a folder, for the front of PATH."""
    folder.mkdir(parents=True)
    real = shutil.which("git")
    assert real
    program = folder / "git"
    text = PROGRAM.format(
        python=sys.executable, newer=NEWER[version], version=".".join(map(str, version)) + ".1", real=real
    )
    program.write_text(text)
    os.chmod(program, 0o755)
    return folder
