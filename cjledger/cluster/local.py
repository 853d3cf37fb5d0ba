"""The way to a cluster that is a folder on this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cjledger.cluster import replies
from cjledger.cluster.outbox import persons_environment, push
from cjledger.cluster.transport import Frame, Json, LostReplyError, frames, most_bytes, printable
from cjledger.errors import CjError
from cjledger.gitrepo import Repo
from cjledger.model import Cluster
from cjnode.space import TAKES_NO_MORE


@dataclass(frozen=True)
class Local:
    """Runs the node half as a child, and pushes to the folder's repository."""

    cluster: Cluster

    def call(self, verb: str, request: Mapping[str, Any]) -> list[Json]:
        """Ask and return the reply's lines. Raises CjError with the cluster's own words."""
        return [frame.head for frame in self.stream(verb, request)]

    def stream(self, verb: str, request: Mapping[str, Any]) -> Iterator[Frame]:
        """Ask and yield the reply's frames as they come."""
        return self._run(Path(self.cluster.root) / "cjnode.pyz", verb, request)

    def push(self, repo: Repo, package_id: str) -> Json:
        """Send a package and have it submitted. Asks the cluster when the push does not say how it went."""
        url = str(Path(self.cluster.root) / "repo.git")
        done = push(repo, package_id, url, {"GIT_ALLOW_PROTOCOL": "file"})
        for reply in done.replies:
            if reply.get("package", package_id) == package_id:
                return _accepted(reply)
        return self._ask(package_id, done.words)

    def _ask(self, package_id: str, words: str) -> Json:
        # A push may fail after its package arrived, and succeed with its hook cut off.
        try:
            asked = {"package": package_id, "submission": 1, "token": package_id}
            return replies.one(self.call("submit", asked), "submit")
        except CjError as problem:
            told = problem.message if TAKES_NO_MORE in problem.message else words or problem.message
            raise CjError(f"the push to {self.cluster.name} failed: {told}", problem.hint) from problem

    def installed(self) -> str | None:
        """The SHA-256 of the node half that is there; None where there is none."""
        try:
            fields = json.loads((Path(self.cluster.root) / "cluster.json").read_bytes())
            return str(fields["cjnode"])
        except (OSError, ValueError, LookupError, TypeError):
            return None

    def install(self, node: bytes, request: Mapping[str, Any]) -> None:
        """Run the node half's ``init`` from a copy of it, which puts itself into the root."""
        with tempfile.NamedTemporaryFile(suffix=".pyz") as file:
            file.write(node)
            file.flush()
            for _ in self._run(Path(file.name), "init", request):
                pass

    def _run(self, program: Path, verb: str, request: Mapping[str, Any]) -> Iterator[Frame]:
        if not program.exists():
            name, root = self.cluster.name, self.cluster.root
            raise CjError(
                f"cluster {name} is not set up in {root}",
                f"git cj init {name}, or set its root back if that was changed in .cjledger.toml",
            )
        nonce = os.urandom(16).hex()
        argv = (sys.executable, "-I", "-S", str(program), verb, "--root", self.cluster.root, "--nonce", nonce)
        with tempfile.TemporaryFile() as asked, tempfile.TemporaryFile() as errors:
            asked.write(json.dumps(request).encode())
            asked.seek(0)
            environment = persons_environment()
            with subprocess.Popen(
                argv, stdin=asked, stdout=subprocess.PIPE, stderr=errors, env=environment
            ) as process:
                assert process.stdout
                try:
                    yield from frames(process.stdout, nonce, most=most_bytes(verb, request))
                except LostReplyError as problem:
                    process.kill()
                    errors.seek(0)
                    told = printable(errors.read()[-2000:].decode(errors="replace")).strip()
                    words = f"{verb} on {self.cluster.name}: {told or problem.message}"
                    raise LostReplyError(words) from problem
                finally:
                    process.stdout.close()


def _accepted(reply: Json) -> Json:
    if "error" in reply:
        raise CjError(printable(str(reply["error"])), printable(str(reply.get("hint", ""))))
    return reply
