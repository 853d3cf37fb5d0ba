"""A push over a stream that is open already: git chooses and packs the objects, dulwich speaks."""

from __future__ import annotations

import io
import subprocess
import tempfile
from collections.abc import Callable, Iterator

from cjledger import gitrepo, gitwire
from cjledger.cluster.outbox import Pushed, outbox, pushed
from cjledger.errors import CjError
from cjledger.gitrepo import Repo
from cjnode.vocabulary import INBOX

_CHUNK = 1 << 16


class PackError(CjError):
    """Git could not pack a package's objects."""


def push_over(
    repo: Repo, package_id: str, read: Callable[[int], bytes], write: Callable[[bytes], None]
) -> Pushed:
    """Push a package's commit into the inbox at the other end of ``git-receive-pack``'s streams."""
    ref = INBOX + package_id
    try:
        sent = gitwire.send(
            gitwire.stream(read, write),
            ref,
            package_id,
            lambda there: packed(repo, package_id, there),
            repo.hash_name,
        )
    except gitwire.WireError as problem:
        return pushed(128, str(problem))
    told = "".join(f"remote: {line}\n" for line in sent.printed.splitlines())
    return pushed(1 if sent.refusal else 0, told + sent.refusal)


def packed(repo: Repo, package_id: str, there: frozenset[str]) -> Iterator[bytes]:
    """The pack of what a package has and the commits that are ``there`` have not.

    Packages have no parents: for this one packing they are shown as if those were (see ``outbox``).
    """
    known = _present(repo, there - {package_id})
    git = ("git", f"--git-dir={outbox(repo)}", "-c", "advice.graftFileDeprecated=false")
    pack = (*git, "pack-objects", "--revs", "--thin", "--delta-base-offset", "--stdout", "-q")
    with tempfile.NamedTemporaryFile("w", prefix="cj-graft-") as graft, tempfile.TemporaryFile() as errors:
        graft.write(" ".join((package_id, *known)) + "\n")
        graft.flush()
        environment = gitrepo.clean_environment({"GIT_GRAFT_FILE": graft.name})
        with subprocess.Popen(
            pack, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors
        ) as process:
            assert process.stdin
            assert isinstance(process.stdout, io.BufferedReader)
            try:
                process.stdin.write("".join((f"{package_id}\n", *(f"^{name}\n" for name in known))).encode())
                process.stdin.close()
                while part := process.stdout.read1(_CHUNK):
                    yield part
            except BaseException:
                process.kill()
                raise
        if process.returncode:
            errors.seek(0)
            told = errors.read()[-2000:].decode(errors="replace").strip()
            raise PackError(f"git could not pack {package_id[:12]}: {told}", f"git cj fsck {package_id[:12]}")


def _present(repo: Repo, names: frozenset[str]) -> list[str]:
    """Those of some commits that are here as well, whole as far as a look tells."""
    if not names:
        return []
    asked = "".join(f"{name}^{{tree}}\n" for name in sorted(names))
    done = subprocess.run(
        ("git", f"--git-dir={outbox(repo)}", "cat-file", "--batch-check"),
        env=gitrepo.clean_environment(),
        input=asked.encode(),
        capture_output=True,
        check=True,
    )
    answers = done.stdout.decode().splitlines()
    return [
        name for name, answer in zip(sorted(names), answers, strict=True) if answer.split()[1:2] == ["tree"]
    ]
