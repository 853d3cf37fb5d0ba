"""Find the program of a launch: a script, a function or a command, in what will be the package."""

from __future__ import annotations

import itertools
import os
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cjledger import gitrepo
from cjledger.errors import CjError, UsageError
from cjledger.languages import LANGUAGES, python
from cjledger.model import Program
from cjledger.project import Project
from cjledger.snapshot import Begun

_LOOKED_AT = 1000  # lines of a file of commands

if TYPE_CHECKING:
    from cjledger.commands.request import LaunchRequest


def find(
    project: Project, request: LaunchRequest, begun: Begun | None = None
) -> tuple[Program, tuple[tuple[Path, str], ...]]:
    """The program of a launch, and the folders outside the repository that it needs.

    Raises CjError for what is missing, outside the repository, or would not be in the package.
    """
    workdir = _inside(project, project.cwd, str(project.cwd)).as_posix()
    deps, grafts = _deps(project, request.dep)
    # A line of a file of commands is one word to sh, whatever stands in it.
    command = request.command if request.commands is None else "sh -c {command}"
    if command is not None:
        for started in _started(project, request):
            _check_started(project, started, deps, begun)
        return _template(request, command, workdir, deps), grafts
    text, function = _halves(project, request)
    path = project.cwd / text
    relative = _program_path(project, path, text, deps, begun)
    if path.suffix not in LANGUAGES:
        raise CjError(
            f"{relative} is not a program that can be run by itself (known: {', '.join(LANGUAGES)})",
            f"git cj run -c '… {relative} {{x}}' {request.cluster} --sweep x=1,2,3",
        )
    if function is not None and request.loops:
        raise UsageError(
            f"parrun runs a script's loops; {function} is a function", "git cj run … --sweep NAME=…"
        )
    return Program(
        "function" if function else "script",
        path=relative,
        function=function,
        workdir=workdir,
        arguments=request.arguments,
        deps=deps,
    ), grafts


_NAME = "name a script, module.py:function, or -c 'COMMAND'"


def _halves(project: Project, request: LaunchRequest) -> tuple[str, str | None]:
    """The file of ``FILE`` or ``FILE:FUNCTION``, which is there, and the function."""
    given = request.program or ""
    text, function = given, None
    if not (project.cwd / given).exists() and ":" in given:
        text, _, function = given.rpartition(":")
    path = project.cwd / text
    if not text:
        raise CjError(f"{given!r} names no file", _NAME)
    if not path.exists():
        ending = "" if function is None else f":{function}"
        near = [
            name for name in (f"{text}.py", f"{text.replace('.', '/')}.py") if (project.cwd / name).is_file()
        ]
        hint = f"did you mean {near[0]}{ending}?" if near and ending != ":" else _NAME
        raise CjError(f"there is no program {text}", hint)
    if not path.is_file():
        raise CjError(f"{text} is not a file", _NAME)
    if function == "":
        has = python.function_names(path.read_bytes(), text) if path.suffix in LANGUAGES else []
        known = f"it has {', '.join(has)}" if has else "it defines none"
        right = shlex.quote(f"{text}:{has[0]}" if has else text)
        raise CjError(f"{given} names no function ({known})", f"git cj run {right} {request.cluster}")
    return text, function


def _started(project: Project, request: LaunchRequest) -> set[str]:
    """The programs that a command, or the first ones of a file of them, begin with."""
    lines = [request.command or ""]
    if request.commands is not None and (project.cwd / request.commands).is_file():
        with (project.cwd / request.commands).open(encoding="utf-8", errors="replace") as file:
            lines = list(itertools.islice(file, _LOOKED_AT))
    return {words[0] for words in map(str.split, lines) if words}


def _check_started(project: Project, word: str, deps: tuple[str, ...], begun: Begun | None) -> None:
    """Refuse a program of the working copy that would not be in the package: ignored ones are often built."""
    path = project.cwd / word
    is_ours = "/" in word and not word.startswith(("/", "~")) and path.is_file()
    if is_ours and path.resolve().is_relative_to(project.repo.top.resolve()):
        _program_path(project, path, word, deps, begun)


def _template(request: LaunchRequest, command: str, workdir: str, deps: tuple[str, ...]) -> Program:
    if request.loops:
        raise UsageError("parrun needs a Python script: a command template has no loops", "git cj run -c …")
    return Program(
        "command",
        command=command,
        language="shell",
        workdir=workdir,
        arguments=request.arguments,
        deps=deps,
    )


def _inside(project: Project, path: Path, text: str) -> Path:
    """A folder relative to the repository's top; ``text`` is what the person typed."""
    try:
        return path.resolve().relative_to(project.repo.top.resolve())
    except ValueError:
        raise CjError(
            f"{text} is outside the repository {project.repo.top}",
            f"copy it into the repository: cp {shlex.quote(text)} {shlex.quote(str(project.repo.top))}",
        ) from None


def _program_path(project: Project, path: Path, text: str, deps: Sequence[str], begun: Begun | None) -> str:
    # The folder is resolved, the name is not: a script may itself be a link.
    relative = _inside(project, path.parent, text) / path.name
    if any(relative.is_relative_to(dep) for dep in deps):
        return relative.as_posix()  # in the package, whatever git thinks of it
    seen = begun is not None and begun.seen.result().has(os.fsencode(relative.as_posix()))
    if ".git" in relative.parts or (not seen and _is_ignored(project, relative.as_posix())):
        word = shlex.quote(text)
        raise CjError(
            f"{relative} is ignored by git, so it would not be in the package",
            f"git add -f -- {word} puts it there; git check-ignore -v -- {word} says why",
        )
    for folder in relative.parents[:-1]:
        if os.path.lexists(project.repo.top / folder / ".git"):
            raise CjError(
                f"{relative} is in a repository of its own, {folder}, so it would not be in the package",
                f"add --dep {shlex.quote(str(folder))}, or launch in that repository: "
                f"cd {shlex.quote(str(project.repo.top / folder))}",
            )
    return relative.as_posix()


def _is_ignored(project: Project, relative: str) -> bool:
    try:
        gitrepo.run(project.repo, "check-ignore", "-q", "--", relative)
    except gitrepo.GitError:
        return False
    return True


def _deps(project: Project, folders: Iterable[Path]) -> tuple[tuple[str, ...], tuple[tuple[Path, str], ...]]:
    names: list[str] = []
    grafts: list[tuple[Path, str]] = []
    for folder in folders:
        path = (project.cwd / folder).resolve()
        if not path.is_dir():
            raise CjError(f"--dep {folder} is not a folder", "name a folder of modules the program imports")
        try:
            names.append(path.relative_to(project.repo.top.resolve()).as_posix())
        except ValueError:
            name = f".cj/deps/{path.name}"
            if name in names:
                raise CjError(f"two --dep folders are called {path.name}", "rename one of them") from None
            names.append(name)
            grafts.append((path, name))
    return tuple(names), tuple(grafts)
