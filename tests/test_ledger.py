from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cjledger import gitrepo, ledger
from cjledger.errors import CjError
from cjledger.gitrepo import RefMove, Repo

PACKAGE = "a" * 40
LAUNCH = {
    "program": "p.py",
    "cluster": "local",
    "tasks": 3,
    "message": "",
    "author": "Mia <mia@example.org>",
    "created": "2026-01-31T12:00:00.000000Z",
    "code": "0" * 40,
}


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    subprocess.run(("git", "init", "-q", tmp_path / "r"), check=True)
    return gitrepo.discover(tmp_path / "r")


def append(repo: Repo, event: str = "launched", also: Callable[[], list[RefMove]] = list) -> ledger.Entry:
    return ledger.append(repo, event, PACKAGE, f"{event} it", {**LAUNCH, "name": "ü\n"}, also=also)


def test_entries_come_back_newest_first_with_numbers_and_data(repo: Repo) -> None:
    for event in ("launched", "submitted", "harvested"):
        append(repo, event)
    found = list(ledger.entries(repo, ledger.agent(repo)))
    assert [entry.event for entry in found] == ["harvested", "submitted", "launched"]
    assert [entry.sequence for entry in found] == [3, 2, 1]
    assert found[0].data == {**LAUNCH, "name": "ü\n"}
    assert found[0].last == PACKAGE


def test_f22_chains_are_merged_by_time_and_keep_their_order_whatever_a_clock_did(
    repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = (
        ("mia", "2025-10-26T02:30:00+0200", "launched"),
        ("noa", "2025-10-26T00:50:00+0000", "cancelled"),
        ("mia", "2025-10-26T02:10:00+0100", "submitted"),  # 40 minutes later: the clocks went back
        ("mia", "2024-01-01T00:00:00+0000", "harvested"),  # the machine was started with an empty battery
        ("noa", "2025-10-26T06:00:00+0100", "retried"),
    )
    for agent, when, event in told:
        ledger.agent(repo)
        (repo.cj_dir / "agent").write_text(f"{agent}\n")
        monkeypatch.setenv("GIT_COMMITTER_DATE", when)
        append(repo, event)
    found = [entry.event for entry in ledger.all_entries(repo)]
    assert found[0] == "retried"
    assert [event for event in found if event in ("harvested", "submitted", "launched")] == [
        "harvested",
        "submitted",
        "launched",
    ]
    assert found.index("submitted") < found.index("cancelled") < found.index("launched")


def test_an_entrys_parent_is_the_entry_before_it(repo: Repo) -> None:
    first, second = append(repo), append(repo, "submitted")
    assert second.parents == (first.id,)
    assert list(ledger.breaks(repo, ledger.agent(repo), list(ledger.entries(repo, ledger.agent(repo))))) == []


def test_a_removed_entry_is_noticed_though_the_chain_was_rewritten(repo: Repo) -> None:
    name = ledger.agent(repo)
    first = append(repo)
    append(repo, "submitted")
    gitrepo.run(repo, "update-ref", ledger.CHAINS + name, first.id)
    chain = list(ledger.entries(repo, name))
    assert [word for word in ledger.breaks(repo, name, chain) if "removed or rewritten" in word]


def test_an_entry_left_out_of_the_middle_is_located(repo: Repo) -> None:
    name = ledger.agent(repo)
    for event in ("launched", "submitted", "harvested"):
        append(repo, event)
    newest, _, oldest = ledger.entries(repo, name)
    words = list(ledger.breaks(repo, name, [newest, oldest]))
    assert f"entry {newest.id[:12]} has number 3 where 2 belongs" in words


def test_the_refs_of_an_entry_move_with_it_or_not_at_all(repo: Repo) -> None:
    blob = gitrepo.run(repo, "hash-object", "-w", "--stdin", stdin=b"x").decode().strip()
    taken = "refs/cj/packages/" + blob
    append(repo, also=lambda: [RefMove(taken, blob, repo.zero)])
    assert gitrepo.ref_value(repo, taken) == blob
    with pytest.raises(CjError, match="kept moving"):
        append(repo, also=lambda: [RefMove(taken, blob, repo.zero)])
    assert len(list(ledger.entries(repo, ledger.agent(repo)))) == 1


def test_many_at_once_lose_no_entry(repo: Repo) -> None:
    append(repo)
    script = (
        "import sys; from pathlib import Path; from cjledger import gitrepo, ledger\n"
        "repo = gitrepo.discover(Path(sys.argv[1]))\n"
        f"for _ in range(5): ledger.append(repo, 'submitted', '{PACKAGE}', 'x', {{}})"
    )
    running = [subprocess.Popen((sys.executable, "-c", script, str(repo.top))) for _ in range(4)]
    assert [process.wait() for process in running] == [0] * 4
    chain = list(ledger.entries(repo, ledger.agent(repo)))
    assert [entry.sequence for entry in chain] == list(range(21, 0, -1))


def test_the_agent_is_drawn_once(repo: Repo) -> None:
    assert ledger.agent(repo) == ledger.agent(repo)
    assert gitrepo.text(repo, "check-ref-format", ledger.CHAINS + ledger.agent(repo)) == ""


def test_an_agent_s_file_that_a_full_disk_left_empty_is_made_again(repo: Repo) -> None:
    repo.cj_dir.mkdir(parents=True, exist_ok=True)
    (repo.cj_dir / "agent").write_text("")
    name = ledger.agent(repo)
    assert gitrepo.text(repo, "check-ref-format", ledger.CHAINS + name) == ""
    assert ledger.agent(repo) == name
    assert [path.name for path in repo.cj_dir.iterdir()] == ["agent"]


def forge(repo: Repo, name: str, event: str, package_id: str, data: str, sequence: str = "2") -> str:
    """Append to a chain what its writer would not have written."""
    body = f"x\n\nCj-Event: {event}\nCj-Package: {package_id}\nCj-Sequence: {sequence}\n"
    body += f"Cj-Last: {PACKAGE}\nCj-Data: {data}\n"
    ref = ledger.CHAINS + name
    tree = gitrepo.text(repo, "rev-parse", f"{ref}^{{tree}}")
    made = gitrepo.run(repo, "commit-tree", "-p", ref, tree, stdin=body.encode()).decode().strip()
    gitrepo.run(repo, "update-ref", ref, made)
    return made


@pytest.mark.parametrize(
    ("event", "package_id", "data", "why"),
    [
        ("launched", PACKAGE, "[]", "its Cj-Data is no object"),
        ("submitted", PACKAGE, "null", "its Cj-Data is no object"),
        ("launched", PACKAGE, "[" * 100_000, "nested too deep"),
        ("launched", PACKAGE, json.dumps({"program": "p.py"}), "cluster"),
        ("launched", PACKAGE, json.dumps({**LAUNCH, "created": "yesterday"}), "created"),
        ("launched", PACKAGE, json.dumps({**LAUNCH, "created": "2026-01-31T12:00:00"}), "created"),
        ("launched", PACKAGE, json.dumps({**LAUNCH, "created": 5}), "created"),
        ("launched", PACKAGE, json.dumps({**LAUNCH, "message": 5}), "message"),
        ("launched", PACKAGE, json.dumps({**LAUNCH, "program": 5}), "program"),
        ("launched", PACKAGE, json.dumps({**LAUNCH, "tasks": 10**400}), "tasks"),
        ("launched", PACKAGE, json.dumps({**LAUNCH, "after": 5}), "after"),
        ("launched", PACKAGE, json.dumps({**LAUNCH, "then": {}}), "then"),
        ("launched", PACKAGE, json.dumps({**LAUNCH, "extends": "x"}), "extends"),
        ("cancelled", PACKAGE, json.dumps({"why": 5}), "why"),
        ("submitted", PACKAGE, json.dumps({"data": [5]}), "data"),
        ("launched", "../../etc", json.dumps(LAUNCH), "no package ID"),
        ("launched", "\x1b[31m" + PACKAGE, json.dumps(LAUNCH), "no package ID"),
        ("ex\x1b[31mploded", PACKAGE, json.dumps(LAUNCH), "no word"),
    ],
)
def test_what_is_no_entry_hides_no_other_and_is_named(
    repo: Repo, event: str, package_id: str, data: str, why: str
) -> None:
    first = append(repo)
    made = forge(repo, first.agent, event, package_id, data)
    assert [entry.id for entry in ledger.all_entries(repo)] == [first.id]
    found, wrong = ledger.checked(repo, first.agent)
    assert [entry.id for entry in found] == [first.id]
    assert [words.startswith(f"{made[:12]} in ") for words in wrong] == [True]
    assert why in wrong[0]
    with pytest.raises(CjError, match="is not a ledger entry"):
        ledger.read_chain(repo, first.agent, made, None)


def test_nothing_is_appended_after_what_is_no_entry(repo: Repo) -> None:
    first = append(repo)
    forge(repo, first.agent, "submitted", PACKAGE, "{}", "x")
    with pytest.raises(CjError, match="is not a ledger entry"):
        append(repo, "submitted")


def test_an_entry_edited_in_place_is_noticed(repo: Repo) -> None:
    name = ledger.agent(repo)
    for event in ("launched", "submitted", "harvested"):
        append(repo, event)
    newest, middle, oldest = ledger.entries(repo, name)
    edited = [newest, ledger.Entry(**{**middle._asdict(), "id": "f" * 40}), oldest]
    assert any("entry 2 was" in words for words in ledger.breaks(repo, name, edited))


def test_entries_in_another_order_are_located(repo: Repo) -> None:
    name = ledger.agent(repo)
    for event in ("launched", "submitted", "harvested"):
        append(repo, event)
    newest, middle, oldest = ledger.entries(repo, name)
    words = list(ledger.breaks(repo, name, [middle, newest, oldest]))
    assert f"entry {middle.id[:12]} has number 2 where 4 belongs" in words


def test_a_chain_whose_ref_was_cut_off_is_brought_back_by_the_command_that_is_named(repo: Repo) -> None:
    name = ledger.agent(repo)
    last = [append(repo, event) for event in ("launched", "submitted")][-1]
    (repo.common_dir / ledger.CHAINS / name).write_text("")
    with ledger.anchors(repo).open("a") as file:
        file.write(f"{name} 3 abc")  # the last note was cut off too
    (words,) = ledger.lost_chains(repo)
    subprocess.run(("sh", "-c", words.split(": ", 1)[1]), cwd=repo.top, check=True)
    assert next(ledger.entries(repo, name)).id == last.id
    assert append(repo, "harvested").sequence == 3


def test_a_launch_appends_after_the_noted_tip_without_asking_and_after_the_real_one_where_that_is_another(
    repo: Repo,
) -> None:
    assert ledger.likely_tip(repo) is None
    first = append(repo)
    noted = ledger.likely_tip(repo)
    assert noted is not None
    assert (noted.id, noted.sequence) == (first.id, 1)
    second = append(repo, "submitted")
    # Somebody was faster than what was noted says.
    third = ledger.append(repo, "launched", PACKAGE, "launched it", {}, after=noted)
    assert (third.parents, third.sequence) == ((second.id,), 3)
    ledger.anchors(repo).write_text("half a li")
    assert ledger.likely_tip(repo) is None
