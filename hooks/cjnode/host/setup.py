"""Make or upgrade a cluster's root: the bare repository, its hooks, the node half itself."""

import hashlib
import os
import stat
import subprocess
import sys
from typing import Any, BinaryIO, Dict, List, Tuple

from cjnode import VERSION, processes
from cjnode.errors import NodeError
from cjnode.files import canonical, json_bytes, read_json, replace
from cjnode.host import owners, site
from cjnode.host.compiled import compiled
from cjnode.repository import gitbare

HOOKS = ("pre-receive", "post-receive")

# A package's bytes are what they are: no attribute of its own may change them here.
ATTRIBUTES = b"* -text -eol -ident -filter -working-tree-encoding -export-subst -export-ignore\n"

# Included by the repository's own config, so that an upgrade replaces it in one step.
CONFIG = b"""\
[core]
	hooksPath = ../hooks
	fsync = all
	fsyncMethod = batch
	logAllRefUpdates = false
	# A push asks whether what it brought is connected: to the newest packages, not to all there are.
	alternateRefsPrefixes = refs/cj/tip/
[gc]
	auto = 0
[receive]
	fsckObjects = true
	autogc = false
	denyDeletes = true
	denyNonFastForwards = true
	# A launch sends some ten objects. As packs, a thousand launches would be a thousand packs to search.
	unpackLimit = 100
	maxInputSize = 8g
	# Old packages are not advertised: a push compares with the newest alone. No exceptions: git before 2.6
	# knows none.
	hideRefs = refs/cj/packages
"""


def init(root: str, request: Dict[str, Any], out: BinaryIO) -> None:
    """The verb: ``{"cluster":…,"scheduler":…,"hash":"sha1"|"sha256","hooks":{name: text}}``.

    With ``"remote":true`` the folders above the root are looked at too: on the person's own machine they
    are those of the repository, which is theirs to share.
    """
    hooks = request.get("hooks") or {}
    missing = [name for name in HOOKS if not isinstance(hooks.get(name), str)]
    if missing:
        raise NodeError("init: no text for %s" % ", ".join(missing))
    _make_root(root)
    for fault in owners.faults(root, with_parents=True) if request.get("remote") else ():
        raise NodeError(fault.error, fault.hint)
    owners.refuse_foreign_hooks(root)
    there = read_json(os.path.join(root, "cluster.json")) or {}
    if there.get("version", 0) > VERSION and os.path.exists(os.path.join(root, "cjnode.pyz")):
        _made(root, there["cjnode"], there["version"], out)
        return
    site.find(root, str(request.get("cluster", "")), str(request.get("scheduler", "")))
    _make_repo(root, request.get("hash", "sha1"))
    for name in HOOKS:
        replace(os.path.join(root, "hooks", name), hooks[name].encode("utf-8"), 0o700)
    replace(os.path.join(root, "python"), os.fsencode(sys.executable) + b"\n")
    digest = _install(root)
    # Last: its presence says that all else is there.
    replace(
        os.path.join(root, "cluster.json"),
        json_bytes(
            {
                "cluster": request.get("cluster"),
                "scheduler": request.get("scheduler"),
                "cjnode": digest,
                "version": VERSION,
            }
        ),
    )
    _made(root, digest, VERSION, out)


def _made(root: str, digest: str, version: int, out: BinaryIO) -> None:
    reply = {"root": root, "cjnode": digest, "version": version, "python": sys.executable}
    out.write(canonical(reply) + b"\n")


def _make_root(root: str) -> None:
    try:
        os.makedirs(root, 0o700, exist_ok=True)
        for name in ("hooks", "log", "packages", "scheduler"):
            _check_owner(root)
            os.makedirs(os.path.join(root, name), 0o700, exist_ok=True)
    except (PermissionError, FileExistsError, NotADirectoryError) as problem:
        raise NodeError("%s cannot be made: %s" % (root, problem), "choose another root for this cluster")
    for name in ("hooks", "repo.git", "cjnode.pyz", "packages"):
        path = os.path.join(root, name)
        if os.path.exists(path):
            _check_owner(path)
    read_json(os.path.join(root, "cluster.json"))  # refuses a newer one


def _check_owner(path: str) -> None:
    """Refuse what others own or may change: they could run programs as us."""
    found = os.stat(path)
    if found.st_uid != os.getuid():
        raise NodeError("%s belongs to another user (uid %d)" % (path, found.st_uid), "choose another root")
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise NodeError("others can write to %s" % path, "chmod go-w %s" % path)
    if found.st_mode & 0o077 and stat.S_ISDIR(found.st_mode):
        os.chmod(path, 0o700)


def _make_repo(root: str, hash_name: str) -> None:
    repo = gitbare.repo_path(root)
    wanted = hash_name or "sha1"
    if wanted not in ("sha1", "sha256"):
        raise NodeError("init: unknown hash %r" % wanted)
    if not os.path.exists(os.path.join(repo, "HEAD")):
        arguments = ["git", "init", "-q", "--bare", "--template="]
        if wanted != "sha1":
            arguments.append("--object-format=" + wanted)
        _make(arguments + [repo], wanted)
    _check_owner(repo)
    replace(os.path.join(repo, "cj.config"), CONFIG)
    settings = _settings(repo)
    if settings.get("include.path") != "cj.config":
        gitbare.run(repo, "config", "--local", "include.path", "cj.config")
    os.makedirs(os.path.join(repo, "info"), 0o700, exist_ok=True)
    replace(os.path.join(repo, "info", "attributes"), ATTRIBUTES)
    if not os.path.exists(os.path.join(repo, "hooks")):
        # git before 2.9 does not know core.hooksPath.
        os.symlink(os.path.join("..", "hooks"), os.path.join(repo, "hooks"))
    has = settings.get("extensions.objectformat", "sha1")
    if has != wanted:
        raise NodeError(
            "%s holds %s packages, and this repository makes %s ones" % (root, has, wanted),
            "choose another root for this repository",
        )


def _make(arguments: List[str], hash_name: str) -> None:
    try:
        _git(arguments)
    except NodeError as problem:
        if "unknown option" not in problem.error or hash_name == "sha1":
            raise
        version = gitbare.version()
        raise NodeError(
            "%s there knows no SHA-256 repositories, and this is one" % version,
            "make git 2.29 or newer available to logins there, for instance on PATH in ~/.bashrc",
        )


def written(root: str) -> List[Tuple[str, bytes]]:
    """What ``init`` writes that hardens the repository: each file with its content."""
    repo = gitbare.repo_path(root)
    return [
        (os.path.join(repo, "cj.config"), CONFIG),
        (os.path.join(repo, "info", "attributes"), ATTRIBUTES),
    ]


def _settings(repo: str) -> Dict[str, str]:
    """The repository's own settings, without what it includes."""
    listed = gitbare.run(repo, "config", "--local", "--no-includes", "-z", "--list").decode(
        "utf-8", "replace"
    )
    return {key: value for key, _, value in (item.partition("\n") for item in listed.split("\0"))}


def _git(arguments: List[str]) -> None:
    process = subprocess.Popen(
        arguments,
        env=processes.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    err = process.communicate()[1]
    if process.returncode:
        raise NodeError("git %s: %s" % (arguments[1], gitbare.words(err)), "git --version on the cluster")


def _install(root: str) -> str:
    """Put the zip this process runs from into the root, compiled. Returns its SHA-256 as it came."""
    with open(os.path.abspath(sys.argv[0]), "rb") as file:
        content = file.read()
    digest = hashlib.sha256(content).hexdigest()
    replace(os.path.join(root, "cjnode.pyz"), compiled(content))
    return digest
