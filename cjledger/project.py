"""A repository with its configuration: what every command starts from."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from cjledger import cluster, config, gitrepo, ledger, package
from cjledger.cluster import Contact, Transport
from cjledger.config import Config
from cjledger.errors import CjError
from cjledger.gitrepo import Repo
from cjledger.model import Manifest
from cjledger.wholefiles import write_whole
from cjnode.package.points import POINTS_PER_FILE, Point, Sweep, parse_tasks, points
from cjnode.vocabulary import PACKAGES

_ID = re.compile(r"[0-9a-f]{4,64}")
_EARLIER = re.compile(r"@~([0-9]{0,6})")


class Project(NamedTuple):
    """The person's repository, the folder they stand in, the merged configuration, and how to reach them."""

    repo: Repo
    cwd: Path
    config: Config
    contact: Contact = Contact()


class Target(NamedTuple):
    """What ``PID``, ``PID/7``, ``PID/3,5-9`` or ``PID/7/FILE`` names."""

    package_id: str
    tasks: tuple[int, ...] | None = None
    file: str | None = None

    @property
    def short(self) -> str:
        """The package ID as people read it."""
        return self.package_id[:12]


def open_project(
    cwd: Path, person: Path, contact: Contact | None = None, repo: Repo | None = None
) -> Project:
    """Find the repository around ``cwd``, unless it is given, and read its configuration.

    ``person`` is their own configuration file.
    """
    repo = repo or gitrepo.discover(cwd)
    return Project(repo, cwd.resolve(), config.load(repo.top, person), contact or Contact())


def without_prompts(project: Project) -> Project:
    """The same for what shall never ask anyone: it may run on while nobody looks."""
    return project._replace(contact=project.contact._replace(prompts=False))


def resolve(project: Project, text: str | None) -> Target:
    """Find the one package that ``text`` names. Raises CjError, listing the candidates."""
    prefix, _, rest = (text or "@").partition("/")
    package_id = _resolve_id(project, prefix or "@")
    tasks_text, _, file = rest.partition("/")
    if tasks_text == "then":
        return _then(project, package_id, file or None)
    if not tasks_text:
        return Target(package_id)
    try:
        tasks = tuple(parse_tasks(tasks_text))
    except ValueError:
        raise CjError(f"{tasks_text!r} does not name tasks", f"git cj show {package_id[:8]}/3,5-9") from None
    return Target(package_id, tasks, file or None)


def resolve_tasks(project: Project, text: str | None) -> Target:
    """The same for what acts on a package or tasks of it: refuses a file of theirs."""
    target = resolve(project, text)
    if target.file:
        named = (text or "").removesuffix(f"/{target.file}")
        raise CjError(f"{text} names a file, and tasks are meant", named)
    return target


def resolve_whole(project: Project, text: str | None, words: str) -> Target:
    """The same for what acts on a whole package: refuses tasks of one.

    ``words`` is what was typed, ``git cj VERB`` say, with {} where the package stands if more follows it.
    """
    target = resolve(project, text)
    if target.file or (target.tasks and not (text or "").endswith("/then")):
        verb = words.removeprefix("git cj ").split()[0]
        hint = words if "{}" in words else words + " {}"
        raise CjError(f"{verb} takes a whole package", hint.format(target.package_id[:8]))
    return Target(target.package_id)


def runs_after(project: Project, package_id: str, manifest: Manifest | None = None) -> str | None:
    """The package that runs when all tasks of another one have ended, if it is here.

    Who launched both says so in their ledger. That alone is not believed, since a ledger may have come from
    anywhere: the package must be what such a launch makes of the other one. ``manifest`` is the other one's,
    where it was read already.
    """
    first = manifest or package.read_manifest(project.repo, package_id)
    if first.then is None:
        return None
    for agent in dict.fromkeys((first.agent, ledger.agent(project.repo))):
        for entry in ledger.of_package(project.repo, agent, package_id):
            found = str(entry.data.get("then") or "") if entry.event == "launched" else ""
            if found and _is_then(project, first, package_id, found):
                return found
    return None


def _is_then(project: Project, first: Manifest, first_id: str, found: str) -> bool:
    if not gitrepo.ref_value(project.repo, package.ref(found)):
        return False  # it was forgotten, or did not come
    return package.is_then(first, first_id, package.read_manifest(project.repo, found))


def is_ours(project: Project, package_id: str, manifest: Manifest) -> bool:
    """Whether this installation launched a package: its own ledger says so, which nobody else writes.

    What the package says of itself, anybody can write.
    """
    if manifest.then_of is not None:
        first_id = manifest.then_of.package
        first = package.read_manifest(project.repo, first_id)
        return runs_after(project, first_id, first) == package_id and is_ours(project, first_id, first)
    own = ledger.of_package(project.repo, ledger.agent(project.repo), package_id)
    return any(entry.event == "launched" for entry in own)


def _then(project: Project, package_id: str, file: str | None) -> Target:
    """What ran after a package: the only task of a package of its own."""
    found = runs_after(project, package_id)
    if found is None:
        raise CjError(f"nothing runs after {package_id[:12]}", f"git cj show {package_id[:8]}")
    return Target(found, (1,), file)


def _resolve_id(project: Project, prefix: str) -> str:
    if prefix == "@":
        return _last(project, 0)
    if earlier := _EARLIER.fullmatch(prefix):
        return _last(project, int(earlier[1] or 1))
    if not _ID.fullmatch(prefix.lower()):
        raise CjError(
            f"{prefix!r} is not a package ID: 4 or more of its hexadecimal digits, or @ or @~1",
            f"git cj summary {prefix}" if prefix in {"local", *project.config.clusters} else "git cj log",
        )
    found = [name.removeprefix(PACKAGES) for name in gitrepo.refs(project.repo, PACKAGES)]
    matches = [package_id for package_id in found if package_id.startswith(prefix.lower())]
    if len(matches) == 1:
        return matches[0]
    if matches:
        listed = ", ".join(match[:12] for match in matches[:8]) + (", …" if len(matches) > 8 else "")
        raise CjError(f"{prefix} names {len(matches)} packages: {listed}", f"git cj show {matches[0][:12]}")
    raise CjError(f"there is no package {prefix} in this repository", "git cj log --all")


def _last(project: Project, before: int) -> str:
    found = ledger.last_package(project.repo, before)
    if found is not None:
        return found
    if before and ledger.last_package(project.repo):
        raise CjError(f"fewer than {before + 1} packages were launched here", "git cj log")
    others = len(gitrepo.refs(project.repo, PACKAGES))
    if others:
        words = "the only package here was" if others == 1 else f"all {others} packages here were"
        raise CjError(
            f"nothing was launched from here yet: {words} launched elsewhere", "git cj log, then name one"
        )
    raise nothing_launched(project)


def nothing_launched(project: Project) -> CjError:
    """What to raise where there is no package; others may have some."""
    hint = "git cj run PROGRAM local"
    if gitrepo.text(project.repo, "remote"):
        hint += ", or git cj sync for what others launched"
    return CjError("nothing was launched in this repository yet", hint)


def check_tasks(target: Target, tasks: int) -> None:
    """Refuse task numbers that the package, which has ``tasks``, does not have."""
    if target.tasks and target.tasks[-1] > tasks:
        noun = "task" if tasks == 1 else "tasks"
        raise CjError(
            f"package {target.short} has {tasks} {noun}: there is no task {target.tasks[-1]}",
            f"git cj show {target.package_id[:8]}",
        )


def transport(project: Project, manifest: Manifest) -> Transport:
    """The way to the cluster a package went to."""
    where = config.cluster(project.config, manifest.cluster, project.repo.cj_dir)
    return cluster.transport(where, project.repo.cj_dir, project.contact)


def package_points(repo: Repo, package_id: str, sweep: Sweep, tasks: Sequence[int]) -> Iterator[Point]:
    """The points of some tasks. Explicit points are copied out of the package once, file by file."""
    folder = repo.cj_dir / "points" / package_id
    if sweep.explicit:
        for number in sorted({(task - 1) // sweep.repeat // POINTS_PER_FILE for task in tasks}):
            _copy_points(repo, package_id, folder, f"points/{number:05d}.jsonl")
    return _read(package_id, points(sweep, tasks, str(folder)))


def _read(package_id: str, found: Iterator[Point]) -> Iterator[Point]:
    try:
        yield from found
    except (ValueError, IndexError, RecursionError) as problem:
        raise CjError(
            f"package {package_id[:12]} has points that cannot be read: {problem}",
            f"git cj fsck {package_id[:12]}",
        ) from problem


def _copy_points(repo: Repo, package_id: str, folder: Path, name: str) -> None:
    path = folder / name
    if path.exists():
        return
    blob = next(gitrepo.read_blobs(repo, [f"{package_id}:{package.FOLDER}/{name}"]))
    if blob is None:
        raise CjError(f"package {package_id[:12]} lacks {name}", f"git cj fsck {package_id[:12]}")
    write_whole(path, blob)
