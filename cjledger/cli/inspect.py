"""checkout, diff, fsck, config, who, completion."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from cjledger.cli import output
from cjledger.cli.completion import SHELLS, script
from cjledger.cli.options import Json, Pid
from cjledger.config import person_file
from cjledger.errors import UsageError
from cjledger.project import resolve_whole
from cjledger.render import json_line, number, plain, plain_lines, table, wrap

OnePid = Annotated[str, typer.Argument(metavar="PID", help="The package.")]


def checkout(
    pid: OnePid,
    folder: Annotated[str, typer.Argument(metavar="DIR", help="A folder that is not there yet, or empty.")],
    json: Json = False,
) -> None:
    """Check a package's exact files out as a linked worktree.

    git worktree remove DIR removes it again.
    """
    from cjledger.commands import checkout as checking

    project = output.project()
    target = resolve_whole(project, pid, "git cj checkout {} DIR")
    path = checking.checkout(project, target, Path(folder))
    if json:
        output.emit({"package": target.package_id, "path": str(path)})
    else:
        output.say(f"{target.short} is in {plain(str(path))}")


def diff(
    first: Annotated[str, typer.Argument(metavar="PID", help="The one.")],
    second: Annotated[str, typer.Argument(metavar="PID", help="The other.")],
    stat: Annotated[
        bool, typer.Option("--stat", help="Name the files that differ, without the patch.")
    ] = False,
    json: Json = False,
) -> None:
    """Compare two packages.

    Code, parameters, resources, environment and launch.
    """
    from cjledger.commands import compare

    project = output.project()
    one, other = (resolve_whole(project, pid, "git cj diff {} OTHER") for pid in (first, second))
    found = compare.diff(project, one, other, patch=not stat and not json)
    if json:
        for difference in found.differences:
            output.emit(asdict(difference))
        return
    if not found.differences:
        output.note("the packages do not differ")
        return
    rows = [(d.section, plain(d.name), _value(d.before), _value(d.after)) for d in found.differences]
    output.say(table(["", "what", "before", "after"], rows, output.width()))
    if found.patch:
        output.say("\n" + plain_lines(found.patch).rstrip("\n"))


def _value(value: Any) -> str:
    return json_line(value) if isinstance(value, list | dict) else number(value)


def fsck(pid: Pid = None, json: Json = False) -> None:
    """Check packages, ledgers and shards against their hashes.

    Says what is wrong and where, and exits with 1 if anything is.
    """
    from cjledger.commands import fsck as verifying

    project = output.project()
    report = verifying.fsck(project, resolve_whole(project, pid, "git cj fsck").package_id if pid else None)
    if json:
        for problem in report.problems:
            output.emit(asdict(problem))
    else:
        for problem in report.problems:
            output.say(f"{problem.kind} {plain(problem.where)}: {plain(problem.what)}")
        output.say(
            f"{report.packages} packages, {report.entries} ledger entries, {report.shards} shards checked: "
            f"{len(report.problems) or 'nothing'} wrong"
        )
    if report.problems:
        raise typer.Exit(1)


def config(
    act: Annotated[
        str | None, typer.Argument(metavar="import", help="Read clusters from a file instead.")
    ] = None,
    file: Annotated[str | None, typer.Argument(metavar="FILE", help="ClusterJob's own ssh_config.")] = None,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Overwrite clusters that are there by these names.")
    ] = False,
    json: Json = False,
) -> None:
    """Show the configuration in force, or import clusters into it.

    Defaults included, by the keys of the files; those that were read come first. With import FILE
    ClusterJob's clusters go into your own configuration file, and what was not understood is said.
    """
    from cjledger.commands import about

    if act is not None:
        _import(act, file, yes, json)
        return
    project = output.project()
    found = about.settings(project)
    sources = project.config.sources
    if json:
        output.emit({**found, "sources": sources})
        return
    for path in sources:
        output.say(f"# {plain(path)}")
    for keys, value in _flat(found):
        output.say(f"{'.'.join(map(_key, keys))} = {_toml(value)}")


def _import(act: str, file: str | None, yes: bool, json: bool) -> None:
    from cjledger.commands import importing

    if act != "import" or file is None:
        raise UsageError("config takes import FILE, or nothing", "git cj config import ssh_config")
    done = importing.import_file(Path(file), person_file(), yes)
    if json:
        output.emit({"file": done.file, "clusters": done.clusters, "notes": done.notes})
        return
    output.say(f"written to {plain(done.file)}:\n\n{plain_lines(done.text)}".rstrip())
    for note in done.notes:
        output.note(wrap(f"warning: {plain(note)}", output.width(), "  "))
    output.note(f"next: git cj init {plain(done.clusters[0])}")


def _flat(table: dict[str, Any], at: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for key, value in table.items():
        # Data is a table in a line of its own.
        if isinstance(value, dict) and (not at or at[-1] != "data"):
            yield from _flat(value, (*at, key))
        else:
            yield (*at, key), value


def _key(word: str) -> str:
    return word if re.fullmatch(r"[A-Za-z0-9_-]+", word) else json_line(word)


def _toml(value: Any) -> str:
    if not isinstance(value, dict):
        return json_line(value)
    return "{ " + ", ".join(f"{key} = {json_line(item)}" for key, item in value.items()) + " }"


def who(json: Json = False) -> None:
    """Show who launches from here, and with what."""
    from cjledger.commands import about

    found = asdict(about.who(output.project()))
    if json:
        output.emit(found)
        return
    for key, value in found.items():
        output.say(f"{key:<12}{plain(str(value))}")


def completion(
    shell: Annotated[str, typer.Argument(metavar="SHELL", help=", ".join(("bash", "zsh", "fish")))],
) -> None:
    """Print the script that completes git cj in a shell.

    For bash, a line in ~/.bashrc, where git's own completion is loaded; for zsh, one in ~/.zshrc after
    compinit; for fish, a file:

      eval "$(git cj completion bash)"
      eval "$(git cj completion zsh)"
      git cj completion fish > ~/.config/fish/conf.d/git-cj.fish
    """
    if shell not in SHELLS:
        raise UsageError(f"there is no completion for {shell}", f"git cj completion {next(iter(SHELLS))}")
    sys.stdout.write(script(shell))
