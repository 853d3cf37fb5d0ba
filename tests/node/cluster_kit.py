"""A cluster in a folder, and a laptop that pushes packages to it by plain git."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cjledger.cluster import node_zip
from cjledger.cluster.node import hooks
from cjnode.schedulers import JobSpec
from cjnode.schedulers.local import batch_script

TALLY = 'echo "$3 $CJ_ELEMENT $CJ_INCARNATION $CJ_JOB_ID" >>"$1/tally"\n'

Content = str | bytes


def manifest(**changes: Any) -> dict[str, Any]:
    """A package's manifest with as many tasks as ``tasks`` says, and what a test wants otherwise."""
    tasks = changes.get("tasks", 1)
    axes = [{"names": ["x"], "values": [[k] for k in range(tasks)]}]
    return {
        "format": 1,
        "program": {
            "kind": "script",
            "path": "main.py",
            "function": None,
            "command": None,
            "language": "python",
            "workdir": ".",
            "arguments": [],
            "deps": [],
        },
        "sweep": {
            "kind": "grid",
            "blocks": [{"axes": axes}],
            "removed": [],
            "names": ["x"],
            "explicit": 0,
            "repeat": 1,
            "loops": None,
        },
        "tasks": tasks,
        "seed": 7,
        "outputs": ["**"],
        "unlinked": [],
        "resources": resources(),
        "cluster": "local",
        "scheduler": "local",
        "python": sys.executable,
        "setup": [],
        "message": "",
        "created": "2026-01-31T12:00:00.000000Z",
        "author": "Mia <mia@example.org>",
        "agent": "mia-1",
        "head": None,
        "branch": None,
        "dirty": [],
        "report": [],
        "locks": [],
        "version": "0.1.0",
        **changes,
    }


def resources(**changes: Any) -> dict[str, Any]:
    """What an element asks for: nothing but ``changes``."""
    names = ("nodes", "tasks_per_node", "cpus", "gpus", "memory_mb", "walltime_s")
    return {**dict.fromkeys(names), "alloc": [], "jobs": 1, "workers": None, **changes}


@dataclass(frozen=True)
class Site:
    """A cluster's root and the laptop's bare repository beside it."""

    folder: Path
    python: str = sys.executable

    @property
    def root(self) -> Path:
        return self.folder / "root"

    @property
    def laptop(self) -> Path:
        return self.folder / "laptop.git"

    @property
    def repo(self) -> Path:
        return self.root / "repo.git"

    def git(self, *arguments: str, stdin: bytes = b"") -> str:
        done = subprocess.run(
            ("git", f"--git-dir={self.laptop}", *arguments), input=stdin, capture_output=True, check=True
        )
        return done.stdout.decode().strip()

    def refs(self) -> dict[str, str]:
        """What the cluster's repository has."""
        out = subprocess.run(
            ("git", f"--git-dir={self.repo}", "for-each-ref", "--format=%(refname) %(objectname)"),
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        return dict(line.split(" ") for line in out.splitlines())

    def verb(self, verb: str, request: Mapping[str, Any], program: Path | None = None) -> dict[str, Any]:
        """The first line of a verb's reply."""
        done = subprocess.run(
            (self.python, "-I", "-S", program or self.root / "cjnode.pyz", verb, "--root", self.root),
            input=json.dumps(request).encode(),
            capture_output=True,
        )
        assert done.stderr == b""
        reply: dict[str, Any] = json.loads(done.stdout.splitlines()[0])
        assert done.returncode == int("error" in reply)
        return reply

    def init(self, **changes: Any) -> dict[str, Any]:
        program = self.folder / "delivered.pyz"
        program.write_bytes(node_zip())
        request = {"cluster": "local", "scheduler": "local", "hooks": hooks(), **changes}
        return self.verb("init", request, program)

    def blob(self, content: Content) -> str:
        raw = content if isinstance(content, bytes) else content.encode()
        return self.git("hash-object", "-w", "--stdin", stdin=raw)

    def tree(self, entries: list[tuple[str, bytes, str]]) -> str:
        """A tree of exactly these entries (mode, name, object), however wrong they are."""
        raw = b"".join(
            mode.lstrip("0").encode() + b" " + name + b"\0" + bytes.fromhex(object_id)
            for mode, name, object_id in entries
        )
        return self.git("hash-object", "-t", "tree", "-w", "--literally", "--stdin", stdin=raw)

    def commit(self, tree: str, *parents: str) -> str:
        lines = [f"tree {tree}", *(f"parent {parent}" for parent in parents)]
        lines += [f"{who} Mia <mia@example.org> 1769860800 +0000" for who in ("author", "committer")]
        text = "\n".join(lines) + "\n\nA package\n"
        return self.git("hash-object", "-t", "commit", "-w", "--literally", "--stdin", stdin=text.encode())

    def package(
        self,
        *entries: tuple[str, bytes, str],
        job: str | None = TALLY,
        package_json: bytes | None = None,
        main: str = "print(1)\n",
        **changes: Any,
    ) -> str:
        """A package's commit; without ``job`` its script runs the real worker."""
        fields = manifest(**changes)
        if job is None:
            job = batch_script(JobSpec(sys.executable, [], fields["resources"]))
        content = json.dumps(fields).encode() if package_json is None else package_json
        inner = [("100644", b"job.sh", self.blob(job)), ("100644", b"package.json", self.blob(content))]
        inner.insert(0, ("100644", b"cjnode.pyz", self.blob(node_zip())))
        listed = [("40000", b".cj", self.tree(inner)), ("100644", b"main.py", self.blob(main)), *entries]
        listed.sort(key=lambda entry: entry[1] + (b"/" if entry[0] == "40000" else b""))
        return self.commit(self.tree(listed))

    def push(
        self, *refspecs: str, options: tuple[str, ...] = (), variables: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            ("git", f"--git-dir={self.laptop}", "push", "-q", *options, self.repo, *refspecs),
            capture_output=True,
            env={**os.environ, **(variables or {})},
        )

    def send(self, package: str, **variables: str) -> list[dict[str, Any]]:
        """Push a package as the laptop does; what the hook answered."""
        done = self.push(f"{package}:refs/cj/inbox/{package}", variables=variables)
        lines = done.stderr.decode().splitlines()
        mark = "remote: cj {"
        return [json.loads(line[len(mark) - 1 :]) for line in lines if line.startswith(mark)]

    def submission(self, package: str, number: int = 1) -> Path:
        return self.root / "packages" / package / "submissions" / str(number)

    def job(self, package: str, number: int = 1) -> Path:
        return self.root / "scheduler" / f"cj-{package[:12]}-{number}"

    def finished(self, package: str, number: int = 1) -> dict[str, int]:
        """Wait for a job's end; the exit codes of its elements."""
        done = self.job(package, number) / "done.json"
        wait_for(done.exists)
        codes: dict[str, int] = json.loads(done.read_bytes())["exit_codes"]
        return codes

    def tally(self) -> list[str]:
        """What the jobs of the packages wrote: submission, element, incarnation, job."""
        path = self.root / "tally"
        return sorted(path.read_text().splitlines()) if path.exists() else []


def new_site(folder: Path, python: str = sys.executable, hash_name: str = "sha1") -> Site:
    """A laptop and a cluster that is set up: a copy of one that is made once, since a root can be moved."""
    shutil.copytree(_prepared(python, hash_name).name, folder, symlinks=True, dirs_exist_ok=True)
    return Site(folder, python)


@functools.cache
def _prepared(python: str, hash_name: str) -> tempfile.TemporaryDirectory[str]:
    kept = tempfile.TemporaryDirectory(prefix="cj-site-")
    site = Site(Path(kept.name), python)
    laptop = ("git", "init", "-q", "--bare", f"--object-format={hash_name}", str(site.laptop))
    subprocess.run(laptop, check=True)
    assert "error" not in site.init(hash=hash_name)
    return kept


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Wait until something has happened in another process."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.01)
