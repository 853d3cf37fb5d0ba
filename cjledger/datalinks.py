"""Data that lies on the cluster: what the configuration and the program's own text say of it."""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Iterator

from cjledger import gitrepo
from cjledger.config import Config
from cjledger.errors import CjError
from cjledger.gitrepo import Repo
from cjledger.model import Cluster, Data, Program
from cjledger.schema import is_inside

# A comment of Python, R or shell, or of MATLAB and Octave, as CJ has it.
_DIRECTIVE = re.compile(rb"^[ \t]*[#%]CJ[ \t]+-(\w*)[ \t]*(.*)$", re.MULTILINE)


def choose(repo: Repo, config: Config, where: Cluster, program: Program) -> tuple[Data, ...]:
    """All data of a launch: the configuration's, the cluster's over it, the program's over both.

    Raises CjError for what cannot be a link in the package's files.
    """
    found = {data.local: data for data in (*config.data, *where.data)}
    if program.path is not None:
        source = (repo.top / program.path).read_bytes()
        found.update({data.local: data for data in directives(source, program.path, program.workdir)})
    chosen = tuple(data for _, data in sorted(found.items()))
    for data in chosen:
        _check_place(repo, data, found)
    return chosen


def directives(source: bytes, path: str, workdir: str) -> Iterator[Data]:
    """The data that a program's text names; local paths are relative to the folder it is launched in."""
    for match in _DIRECTIVE.finditer(source):
        line = source.count(b"\n", 0, match.start()) + 1
        option, text = match[1].decode(), match[2].decode(errors="replace").strip()
        if option != "s":
            raise CjError(
                f"{path}, line {line}: #CJ knows no -{option}", "#CJ -s 'local-path' 'cluster-path'"
            )
        try:
            words = shlex.split(text)
        except ValueError:
            words = []
        if len(words) != 2:
            raise CjError(
                f"{path}, line {line}: -s needs a local path and one on the cluster, not {text}",
                "#CJ -s 'local-path' 'cluster-path'",
            )
        local = posixpath.normpath(posixpath.join(workdir, words[0]))
        if not is_inside(words[0]) or not is_inside(local):
            raise CjError(
                f"{path}, line {line}: {words[0]!r} is not a path inside the repository",
                "name it relative to the folder you launch in, without ..",
            )
        if not words[1].startswith(("/", "~/")) or not words[1].isprintable():
            raise CjError(
                f"{path}, line {line}: {words[1]!r} must be absolute, or begin with ~/", "edit the line"
            )
        yield Data(local, words[1])


def _check_place(repo: Repo, data: Data, others: dict[str, Data]) -> None:
    folder = posixpath.dirname(data.local)
    while folder:
        if folder in others:
            raise CjError(f"data {data.local} lies in {folder}, which is data too", "name one of them")
        if (repo.top / folder).is_file() or (repo.top / folder).is_symlink():
            raise CjError(f"data {data.local} cannot lie in {folder}, which is no folder", "choose another")
        folder = posixpath.dirname(folder)


def remarks(repo: Repo, data: tuple[Data, ...]) -> tuple[str, ...]:
    """What must be told of data that git knows. Raises CjError when it would go into the package."""
    if not data:
        return ()
    specs = [f":(top,literal){each.local}" for each in data]
    others = _listed(repo, "--others", "--exclude-standard", "--", *specs)
    if others:
        raise CjError(
            f"{others[0]} is named as data on the cluster, and would go into the package",
            f"echo {shlex.quote('/' + _owner(others[0], data))} >> .gitignore",
        )
    tracked = sorted({_owner(path, data) for path in _listed(repo, "--", *specs)})
    paths = {each.local: each.path for each in data}
    return tuple(
        f"{local} is in the repository, and tasks see {paths[local]} in its place" for local in tracked
    )


def _owner(path: str, data: tuple[Data, ...]) -> str:
    return next(each.local for each in data if path == each.local or path.startswith(each.local + "/"))


def _listed(repo: Repo, *arguments: str) -> list[str]:
    listed = gitrepo.run(repo, "ls-files", "-z", *arguments)
    return [path.decode(errors="replace") for path in listed.split(b"\0")[:-1]]
