"""Two machines and a git remote between them."""

from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path

import pytest

from tests.shells import Shell

PROGRAM = """\
for x in range(3):
    with open("r.csv", "w") as out:
        out.write(f"v\\n{x * 2}\\n")
"""


def machine(folder: Path, name: str) -> Shell:
    path = folder / name
    path.mkdir()
    shell = Shell(path)
    shell.run("git", "init", "-q", "-b", "main")
    shell.run("git", "remote", "add", "origin", "../hub.git")
    shell.write("p.py", PROGRAM)
    shell.git("add", "-A")
    shell.git("commit", "-qm", "start")
    return shell


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Shell, Shell]:
    """Two machines with a remote of theirs, a bare repository."""
    Shell(tmp_path).run("git", "init", "-q", "--bare", "hub.git")
    return machine(tmp_path, "mia"), machine(tmp_path, "ben")


def refs(shell: Shell) -> dict[str, str]:
    lines = shell.git("for-each-ref", "--format=%(refname) %(objectname)", "refs/cj/").splitlines()
    return dict(line.split(" ") for line in lines)


def hub(tmp_path: Path) -> dict[str, str]:
    return refs(Shell(tmp_path / "hub.git"))


def counts(shell: Shell, *words: str, code: int = 0) -> tuple[dict[str, int], dict[str, int], list[str]]:
    (found,) = shell.lines("sync", *words, code=code)
    return found["brought"], found["sent"], found["refused"]


def number(packages: int, results: int, ledgers: int) -> dict[str, int]:
    return {"packages": packages, "results": results, "ledgers": ledgers}


def test_what_one_launched_the_other_sees_and_reduces(pair: tuple[Shell, Shell], tmp_path: Path) -> None:
    mia, ben = pair
    package = mia.launch("parrun", "p.py", "local")
    rows = mia.cj("reduce", package)
    assert counts(mia) == (number(0, 0, 0), number(1, 1, 1), [])
    assert counts(ben) == (number(1, 1, 1), number(0, 0, 0), [])
    assert refs(mia) == refs(ben) == hub(tmp_path)
    assert ben.cj("reduce", package) == rows
    assert [x["package"] for x in ben.lines("log")] == [package]
    assert ben.lines("state", package)[0]["counts"] == {"COMPLETED": 3}
    assert ben.lines("show", package)[0]["package"] == package
    assert "nothing wrong" in ben.cj("fsck")
    assert counts(ben) == (number(0, 0, 0), number(0, 0, 0), [])


def test_a_package_of_another_machine_without_a_harvest_is_said_to_be_there(
    pair: tuple[Shell, Shell],
) -> None:
    mia, ben = pair
    package = mia.launch("parrun", "p.py", "local")
    mia.cj("sync")
    ben.cj("sync")
    short = package[:8]
    shown = ben.run("git", "cj", "state", short)
    assert "3 tasks: not known\n" in shown.stdout
    words = "whose cluster local cannot be asked from here"
    assert f"{words}; its results come with their harvest and git cj sync" in shown.stderr
    assert words in ben.run("git", "cj", "state", short, "--watch").stderr
    said = ben.refused("reduce", short)
    assert words in said
    assert "hint: git cj sync\n" in said
    for line in ("rerun {} --yes", "rerun {}/1 --yes", "retry {}", "cancel {}", "hold {}", "workers {}"):
        said = ben.refused(*line.format(short).split())
        assert f"{package[:12]} was launched by Mia <mia@example.org> on " in said
        assert f"{words}\nhint: git cj sync brings its results when they are harvested there" in said
    assert words in ben.refused("clean", short)
    ben.cj("clean", short, "--forget", "--yes")


def test_a_sync_leaves_branches_tags_and_remote_branches_as_they_are(pair: tuple[Shell, Shell]) -> None:
    mia, ben = pair
    mia.git("tag", "-a", "v1", "-m", "one")
    mia.git("config", "push.followTags", "true")
    mia.git("config", "remote.origin.mirror", "true")
    mia.git("config", "remote.origin.fetch", "+refs/*:refs/remotes/origin/*")
    mia.write(".git/hooks/pre-push", "#!/bin/sh\nexit 1\n").chmod(0o755)
    mia.launch("run", "p.py", "local")
    mia.cj("sync")
    ben.cj("sync")
    mia.cj("sync")
    names = set(mia.git("for-each-ref", "--format=%(refname)").splitlines()) - set(refs(mia))
    assert names == {"refs/heads/main", "refs/tags/v1"}
    assert set(ben.git("for-each-ref", "--format=%(refname)").splitlines()) - set(refs(ben)) == {
        "refs/heads/main"
    }


def harvested(shell: Shell, package: str, tasks: str) -> None:
    """Rerun some tasks, so that there is something to harvest, and harvest it."""
    shell.cj("rerun", f"{package}/{tasks}", "--yes", "--wait")
    shell.cj("harvest", package)


def test_two_machines_harvests_are_united_without_losing_or_doubling_a_row(
    pair: tuple[Shell, Shell], tmp_path: Path
) -> None:
    mia, ben = pair
    package = mia.launch("parrun", "p.py", "local")
    mia.cj("harvest", package)
    # The same machine twice, as two laptops of one person see one cluster.
    shutil.rmtree(ben.folder)
    shutil.copytree(mia.folder, ben.folder)
    (ben.folder / ".git" / "cj" / "agent").write_text("ben-laptop-0002\n")
    shutil.rmtree(ben.folder / ".git" / "cj" / "local")
    (ben.folder / ".git" / "cj" / "local").symlink_to(mia.folder / ".git" / "cj" / "local")
    ben.git("update-ref", "-d", next(ref for ref in refs(ben) if "/ledger/" in ref))
    (ben.folder / ".git" / "cj" / "anchors").unlink()
    mia.cj("sync")
    ben.cj("sync")
    harvested(mia, package, "2")
    ben.cj("harvest", package)
    harvested(mia, package, "3")
    whole = mia.cj("reduce", package)
    mia.cj("sync")
    assert counts(ben)[2] == []
    assert counts(mia)[2] == []
    assert refs(mia) == refs(ben) == hub(tmp_path)
    for shell in pair:
        assert shell.cj("reduce", package) == whole
        count = "SELECT count(*) AS n, count(DISTINCT cj_task * 100 + cj_attempt) AS d FROM records"
        assert shell.lines("query", count, package) == [{"n": 5, "d": 5}]
        assert len(shell.lines("ls", package)) == 3
        assert "nothing wrong" in shell.cj("fsck")


def test_a_ledger_that_was_rewritten_is_refused_and_named(pair: tuple[Shell, Shell], tmp_path: Path) -> None:
    mia, ben = pair
    mia.launch("run", "p.py", "local")
    mia.cj("sync")
    ben.cj("sync")
    chain = next(ref for ref in refs(mia) if "/ledger/" in ref)
    before = refs(ben)[chain]
    there = Shell(tmp_path / "hub.git")
    body = there.git("log", "-1", "--format=%B", chain)
    tree = there.git("rev-parse", f"{chain}^{{tree}}")
    forged = there.git("commit-tree", "-p", f"{chain}~1", "-m", body.replace("submitted", "refused"), tree)
    there.git("update-ref", chain, forged)
    _, _, refused = counts(ben, code=1)
    name = chain.rpartition("/")[2]
    assert refused == [
        f"the ledger of {name} on origin is left there: it does not go on from {before[:12]}, "
        "which is here: it was rewritten"
    ]
    assert refs(ben)[chain] == before
    assert hub(tmp_path)[chain] == forged


def test_a_ledger_that_was_cut_short_is_named_and_sent_again(
    pair: tuple[Shell, Shell], tmp_path: Path
) -> None:
    mia, ben = pair
    mia.launch("run", "p.py", "local")
    mia.cj("sync")
    ben.cj("sync")
    chain = next(ref for ref in refs(mia) if "/ledger/" in ref)
    Shell(tmp_path / "hub.git").git("update-ref", chain, f"{chain}~1")
    _, sent, refused = counts(ben, code=1)
    name = chain.rpartition("/")[2]
    assert refused == [f"origin has lost entries of the ledger of {name} since the last sync"]
    assert sent == number(0, 0, 1)
    assert hub(tmp_path) == refs(ben) == refs(mia)


def test_what_is_no_package_is_left_there_and_named(pair: tuple[Shell, Shell], tmp_path: Path) -> None:
    mia, ben = pair
    head = mia.git("rev-parse", "HEAD")
    there = Shell(tmp_path / "hub.git")
    mia.git("push", "-q", "origin", f"{head}:refs/cj/packages/{head}", f"{head}:refs/cj/packages/{'0' * 39}1")
    mia.git("push", "-q", "origin", f"{head}:refs/cj/ledger/mia-1", f"{head}:refs/cj/ledger/Mia.Lap")
    _, _, refused = counts(ben, code=1)
    assert refused == [
        "refs/cj/ledger/Mia.Lap of origin is not named as cjledger names",
        f"refs/cj/packages/{'0' * 39}1 of origin names another commit, {head[:12]}",
        f"refs/cj/packages/{head} of origin is no package: package {head[:12]} has no manifest",
        "the ledger of mia-1 on origin is left there: "
        f"{head[:12]} in refs/cj/ledger/mia-1 is not a ledger entry: it has no Cj-Event",
    ]
    assert refs(ben) == {}
    assert len(refs(there)) == 4


def test_a_remote_that_hides_its_references_is_explained(pair: tuple[Shell, Shell], tmp_path: Path) -> None:
    mia, _ = pair
    Shell(tmp_path / "hub.git").git("config", "receive.hideRefs", "refs/cj")
    mia.launch("run", "p.py", "local")
    words = mia.refused("sync")
    assert "deny updating a hidden ref" in words
    assert "share by another remote" in words


def test_rows_that_are_in_a_shard_that_did_not_come_are_missing(pair: tuple[Shell, Shell]) -> None:
    mia, ben = pair
    package = mia.launch("parrun", "p.py", "local", "--wait")
    mia.cj("harvest", package)
    mia.cj("sync")
    ben.cj("sync")
    mia.cj("reduce", package)
    # As a shard that is too large for git: neither in the harvest's commit nor beside it.
    results = f"refs/cj/results/{package}"
    manifest = ben.git("rev-parse", f"{results}:manifest.json")
    listed = ben.git("ls-tree", f"{results}:shards").splitlines()
    tables = {
        shard["name"]: shard["table"] for shard in json.loads(ben.git("cat-file", "blob", manifest))["shards"]
    }
    kept = "".join(f"{line}\n" for line in listed if tables[line.split()[-1]] == "cj:records")
    shards = ben.run("git", "mktree", stdin=kept).stdout.strip()
    top = f"100644 blob {manifest}\tmanifest.json\n040000 tree {shards}\tshards\n"
    tree = ben.run("git", "mktree", stdin=top).stdout.strip()
    commit = ben.run("git", "commit-tree", tree, stdin="Harvest").stdout.strip()
    ben.git("update-ref", results, commit)
    shutil.rmtree(ben.folder / ".git/cj/shards", ignore_errors=True)
    told = ben.run("git", "cj", "reduce", "r.csv", package).stderr
    assert "0 of 3 tasks are in" in told
    assert "missing, COMPLETED, but its rows are in a shard that is not here: 1-3" in told


def test_a_package_forgotten_here_does_not_come_back(pair: tuple[Shell, Shell], tmp_path: Path) -> None:
    mia, ben = pair
    package = mia.launch("run", "p.py", "local")
    mia.cj("sync")
    mia.cj("clean", package, "--forget", "--yes")
    mia.cj("sync")
    ben.cj("sync")
    assert f"refs/cj/packages/{package}" in hub(tmp_path)
    assert f"refs/cj/packages/{package}" not in refs(mia)
    assert f"refs/cj/packages/{package}" in refs(ben)


def test_machines_that_sync_at_once_lose_nothing(pair: tuple[Shell, Shell], tmp_path: Path) -> None:
    launched = {shell.launch("run", "p.py", "local") for shell in pair for _ in range(2)}
    threads = [threading.Thread(target=shell.cj, args=("sync",)) for shell in pair * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for shell in pair:
        shell.cj("sync")
    mia, ben = pair
    ids = {ref.rpartition("/")[2] for ref in hub(tmp_path) if "/packages/" in ref}
    assert ids == launched
    mia.cj("sync")
    assert refs(mia) == refs(ben) == hub(tmp_path)


def test_a_push_sends_what_changed(pair: tuple[Shell, Shell], tmp_path: Path) -> None:
    mia, _ = pair
    for k in range(300):
        mia.write(f"data/{k}.txt", f"{k}\n" * 50)
    mia.launch("run", "p.py", "local")
    mia.cj("sync")

    def objects() -> int:
        found = Shell(tmp_path / "hub.git").git("count-objects", "-v").splitlines()
        sizes = dict(line.split(": ") for line in found)
        return int(sizes["count"]) + int(sizes["in-pack"])

    before = objects()
    mia.write("p.py", PROGRAM + "\n")
    mia.launch("run", "p.py", "local")
    mia.cj("sync")
    assert objects() - before < 30


def test_what_a_hook_there_says_is_told(pair: tuple[Shell, Shell], tmp_path: Path) -> None:
    mia, _ = pair
    hook = tmp_path / "hub.git/hooks/pre-receive"
    hook.write_text("#!/bin/sh\nprintf '\\033[2JGitLab: only maintainers push\\n'\nexit 1\n")
    hook.chmod(0o755)
    mia.launch("run", "p.py", "local", "--wait")
    words = mia.refused("sync")
    assert "GitLab: only maintainers push" in " ".join(words.split())
    assert "\x1b" not in words


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("nowhere",), "there is no remote nowhere"),
        (("/nonexistent/repo.git",), "/nonexistent/repo.git: git ls-remote:"),
        (("--upload-pack=touch x",), "no such option"),
    ],
)
def test_a_remote_that_is_none_is_refused(
    pair: tuple[Shell, Shell], words: tuple[str, ...], message: str
) -> None:
    code = 2 if words[0].startswith("-") else 1
    assert message in pair[0].refused("sync", *words, code=code)


def test_without_a_remote_it_says_how_to_add_one(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    shell.run("git", "init", "-q")
    assert "git remote add origin URL" in shell.refused("sync")


def test_a_package_of_somebody_else_is_sent_only_when_its_code_is_trusted(pair: tuple[Shell, Shell]) -> None:
    mia, ben = pair
    package = mia.lines("deploy", "p.py", "local")[0]["package"]
    mia.cj("sync")
    ben.cj("sync")
    ben.git("config", "user.name", "Ben")
    told = ben.refused("submit", package)
    assert "its code would run as you" in told
    assert f"git cj submit {package[:8]} --yes" in told
    ben.cj("submit", package, "--yes", "--wait")
    assert ben.lines("state", package)[0]["counts"] == {"COMPLETED": 1}
