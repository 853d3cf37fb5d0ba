"""The verbs of clusters on the laptop: what they decide, and the local cluster."""

from __future__ import annotations

import dataclasses
import json
import os
import tomllib
from pathlib import Path

import pytest

from cjledger import gitrepo, remote
from cjledger.commands import doctor, importing
from cjledger.commands.doctor import Check
from cjledger.errors import CjError
from cjledger.harvest import union
from cjledger.harvest.manifest import Broken, Results, Shard
from cjledger.remote import Refusal, Remote
from tests.node.cluster_kit import wait_for
from tests.shells import Shell

CLUSTERJOB = """\
[sherlock2]
Host\t\tlogin.sherlock.example.org
User\t\tmona
Bqs\t\tSLURM
Repo\t\t/scratch/users/mona/CJRepo_Remote/
MAT     \tmatlab/R2017a
MATlib\t\t~/BPDN/CVX/cvx
Python\t\tpython/3.6
Pythonlib\tpytorch:pandas:-c soumith
R\t        R/3.4.0
Alloc\t        -p donoho --time 48:00:00 --mem 8G
[sherlock2]

[farm]
host\tfarm.example.org
bq\tSGE
Repo\t./
MAT     \t""
Python\tpython3.4
Colour\tred
[farm]

[myMac]
Host\tlocal
Bqs\tnone
[myMac]
"""


@pytest.fixture
def shell(repository: Path) -> Shell:
    return Shell(repository)


@pytest.fixture
def person() -> Path:
    """The person's own configuration file, which is not there yet."""
    return Path(os.environ["HOME"]) / ".config" / "cjledger" / "config.toml"


def test_clusterjob_s_clusters_become_tables() -> None:
    sherlock, farm, mac = importing.tables(CLUSTERJOB)
    assert sherlock.values == {
        "scheduler": "slurm",
        "host": "login.sherlock.example.org",
        "user": "mona",
        "root": "/scratch/users/mona/CJRepo_Remote/cjledger",
        "modules": ["matlab/R2017a", "R/3.4.0", "python/3.6"],
        "alloc": ["-p donoho", "--time 48:00:00", "--mem 8G"],
    }
    assert [note.split(":")[0] for note in sherlock.notes] == [
        "matlib ~/BPDN/CVX/cvx",
        "pythonlib pytorch",
    ]
    assert farm.values == {"scheduler": "sge", "host": "farm.example.org", "root": "~/cjledger"}
    assert [note.split(":")[0] for note in farm.notes] == ["Colour is not known", "Python python3.4"]
    assert mac.values == {"scheduler": "local"}


def test_importing_keeps_what_is_there_and_says_what_it_wrote(shell: Shell, person: Path) -> None:
    person.parent.mkdir(parents=True)
    before = '# mine\ndefault_cluster = "local"\n\n[cluster.old]\nscheduler = "pbs"\nhost = "old"\n'
    person.write_text(before)
    shell.write("ssh_config", CLUSTERJOB)
    done = shell.run("git", "cj", "config", "import", "ssh_config")
    assert person.read_text().startswith(before)
    assert set(tomllib.loads(person.read_text())["cluster"]) == {"old", "sherlock2", "farm", "myMac"}
    assert "[cluster.sherlock2]" in done.stdout
    assert "Colour is not known" in done.stderr
    assert shell.lines("config")[0]["cluster"]["farm"]["host"] == "farm.example.org"


def test_importing_overwrites_a_cluster_only_when_told(shell: Shell, person: Path) -> None:
    person.parent.mkdir(parents=True)
    mine = '[cluster.farm]\nhost = "mine"\n[cluster.farm.resources]\ncpus = 2\n[cluster.other]\nhost = "o"\n'
    person.write_text(mine)
    shell.write("ssh_config", CLUSTERJOB)
    words = shell.refused("config", "import", "ssh_config")
    assert f"{person} has farm already" in words
    assert person.read_text() == mine
    shell.cj("config", "import", "ssh_config", "--yes")
    found = tomllib.loads(person.read_text())["cluster"]
    assert found["farm"] == {"scheduler": "sge", "host": "farm.example.org", "root": "~/cjledger"}
    assert found["other"] == {"host": "o"}


@pytest.mark.parametrize(
    ("repo", "root"),
    [
        (".cj_remote", "~/.cj_remote/cjledger"),
        ("../shared/cj/", "~/../shared/cj/cjledger"),
        ("./CJRepo", "~/CJRepo/cjledger"),
        ("./", "~/cjledger"),
        ("~/x", "~/x/cjledger"),
    ],
)
def test_the_root_lies_in_clusterjob_s_folder(repo: str, root: str) -> None:
    (table,) = importing.tables(f"[far]\nHost h\nRepo {repo}\n[far]\n")
    assert table.values["root"] == root


def test_a_cluster_that_is_there_twice_is_named() -> None:
    section = "[far]\nHost h\n[far]\n"
    with pytest.raises(CjError, match="has the cluster far twice"):
        importing.tables(section + section)


def test_what_is_no_file_of_clusterjob_s_is_refused(shell: Shell, person: Path) -> None:
    shell.write("config", "Host far\n  HostName far.example.org\n")
    assert "this is not ClusterJob's ssh_config" in shell.refused("config", "import", "config")
    assert "cannot be read" in shell.refused("config", "import", "nowhere")
    assert "config takes import FILE" in shell.refused("config", "imprt", "config", code=2)
    assert not person.exists()


def test_a_host_that_would_be_an_option_is_not_imported(shell: Shell, person: Path) -> None:
    shell.write("ssh_config", "[far]\nHost -oProxyCommand=id\nBqs SGE\n[far]\n")
    assert "cluster.far.host must" in shell.refused("config", "import", "ssh_config")
    assert not person.exists()


def test_the_configuration_in_force_reads_back_as_itself(shell: Shell, person: Path) -> None:
    example = Path(__file__).parent.parent / ".cjledger.toml.example"
    own = '[cluster."a.b"]\nhost = "h"\nresources.gpus = 0\nretry.grow_memory = "+4G"\nalloc = ["\\"é"]\n'
    shell.write(".cjledger.toml", example.read_text() + own)
    before = shell.lines("config")[0]
    printed = shell.cj("config")
    assert printed.splitlines()[0] == f"# {before['sources'][0]}"
    person.parent.mkdir(parents=True)
    person.write_text(printed)
    (shell.folder / ".cjledger.toml").unlink()
    after = shell.lines("config")[0]
    assert {**after, "sources": before["sources"]} == before
    assert after["cluster"]["a.b"]["alloc"] == ['"é']


@pytest.mark.parametrize(
    ("there", "state", "found"),
    [
        (101.0, "ok", "agrees with this machine's"),
        (107.0, "ok", "agrees with this machine's"),
        (162.0, "warning", "60 s ahead of this machine's"),
        (40.0, "warning", "60 s behind this machine's"),
        (3702.0, "failure", "3600 s ahead of this machine's"),
    ],
)
def test_a_clock_may_differ_by_the_time_of_the_question(there: float, state: str, found: str) -> None:
    check = doctor.clock("far", 100.0, there, 102.0)
    assert (check.check, check.state, check.found) == ("clock", state, found)


def test_doctor_looks_at_this_machine(shell: Shell) -> None:
    found = [Check(**line) for line in shell.lines("doctor")]
    assert [check.check for check in found] == ["git", "ssh", "python", "git cj", "space", "configuration"]
    assert {check.where for check in found} == {"here"}
    assert {check.state for check in found} == {"ok"}
    shell.write(".cjledger.toml", '[cluster.far]\nhost = "far"\nscheduler = "slurm"\n')
    assert "far: not looked at" in (said := shell.cj("doctor"))
    assert "git cj doctor CLUSTER" in said


def test_doctor_names_faults_of_the_configuration_and_fails(shell: Shell) -> None:
    shell.write(".cjledger.toml", "max_taks = 1\n")
    done = shell.run("git", "cj", "doctor", "local", code=1)
    assert "failure configuration" in done.stdout
    assert "unknown key max_taks" in done.stdout
    assert done.stderr == ""


def test_doctor_works_outside_a_repository(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    assert "ok      git" in shell.cj("doctor")
    assert "from inside a repository" in shell.refused("doctor", "local")


def test_doctor_sends_a_task_to_local_and_leaves_nothing(shell: Shell) -> None:
    shell.cj("init", "local")
    found = {line["check"]: line["state"] for line in shell.lines("doctor", "local", "--submit")}
    assert (found["submit"], found["round trip"]) == ("ok", "ok")
    root = shell.folder / ".git" / "cj" / "local"
    assert [list((path / "submissions").glob("*/blocks/*")) for path in (root / "packages").iterdir()] in (
        [],
        [[]],
    )
    assert shell.lines("log") == []


def test_no_line_of_doctor_is_wider_than_80_columns(shell: Shell) -> None:
    shell.cj("init", "local")
    shell.write(".git/cj/local/hooks/post-receive", "#!/bin/sh\n")
    lines = shell.run("git", "cj", "doctor", "local", code=1).stdout.splitlines()
    assert max(len(line) for line in lines if str(shell.folder) not in line) <= 80


def test_a_held_package_waits_and_a_released_one_runs(shell: Shell) -> None:
    shell.write("p.py", "print('ran')\n")
    package = shell.lines("deploy", "p.py", "local")[0]["package"]
    assert "was not submitted" in shell.refused("hold", package)
    shell.cj("submit", package)
    shell.cj("state", package, "--watch")
    assert shell.lines("hold", package) == [{"package": package, "jobs": []}]
    assert shell.cj("release", package) == f"{package[:12]}  no job is left\n"
    assert "takes a whole package" in shell.refused("hold", f"{package}/1")


def test_a_root_of_local_that_was_changed_is_pointed_at(shell: Shell) -> None:
    shell.write("f.py", "raise SystemExit(1)\n")
    shell.launch("run", "f.py", "local")
    shell.write(".cjledger.toml", f'[cluster.local]\nroot = "{shell.folder.parent}/elsewhere"\n')
    said = shell.refused("retry")
    assert "cluster local is not set up in" in said
    assert "hint: git cj init local, or set its root back if that was changed in .cjledger.toml" in said


def test_what_has_started_on_local_is_not_held_and_pausing_is_hinted(shell: Shell) -> None:
    shell.environment["GO"] = str(shell.folder.parent / "go")
    shell.write("p.py", "import os, time\nwhile not os.path.exists(os.environ['GO']): time.sleep(0.02)\n")
    package = shell.lines("run", "p.py", "local", "--sweep", "x=1:3", "--jobs", "1")[0]["package"]
    wait_for(lambda: "RUNNING" in shell.lines("state")[0]["counts"])
    assert shell.cj("release") == f"{package[:12]}  nothing was held\n"
    assert shell.cj("resume") == f"{package[:12]}  was not paused: cj-{package[:12]}-1\n"
    words = f"p.py on local, 3 tasks, submitted before, as cj-{package[:12]}-1"
    assert shell.cj("submit") == f"{package[:12]}  {words}\n"
    said = shell.refused("hold")
    words = f"nothing can be held: cj-{package[:12]}-1 has started"
    assert f"error: {words}\nhint: git cj pause {package[:8]}\n" in said
    shell.write("../go", "")
    shell.cj("state", "--watch")
    assert shell.lines("state")[0]["counts"] == {"COMPLETED": 3}


def test_summary_and_avail_of_local(shell: Shell) -> None:
    assert shell.cj("summary", "local") == "no jobs\n"
    assert shell.lines("avail", "local")[0]["cluster"] == "local"
    assert "there is no cluster loca" in shell.refused("summary", "loca")


def test_init_says_what_it_did_each_time(shell: Shell) -> None:
    assert [shell.lines("init", "local")[0]["was"] for _ in range(2)] == ["set up", "checked"]
    cluster = shell.folder / ".git" / "cj" / "local" / "cluster.json"
    fields = json.loads(cluster.read_text())
    cluster.write_text(json.dumps({**fields, "cjnode": "0" * 64}))
    assert shell.lines("init", "local")[0]["was"] == "upgraded"


def test_refusals_of_a_push_are_told_from_races() -> None:
    report = (
        "To ../hub.git\n"
        "*\tabc:refs/cj/packages/a\t[new reference]\n"
        "!\tabc:refs/cj/ledger/b\t[rejected] (fetch first)\n"
        "!\tabc:refs/cj/ledger/c\t[remote rejected] (deny updating a hidden ref)\n"
        "Done\n"
    )
    assert remote.refusals(report) == [
        Refusal("refs/cj/ledger/b", "[rejected] (fetch first)", True),
        Refusal("refs/cj/ledger/c", "[remote rejected] (deny updating a hidden ref)", False),
    ]
    where = Remote("origin", "u", "u")
    hidden, other = remote.refusals(report)[1], Refusal("refs/cj/x", "pre-receive hook declined", False)
    assert "keeps refs/cj/ledger/c to itself" in remote.explained(where, hidden).message
    assert remote.explained(where, other).message == "origin refused refs/cj/x: pre-receive hook declined"


def _shard(name: str, table: str = "r.csv", tasks: str = "1") -> Shard:
    return Shard(name * 64 + ".parquet", table, 1, 1, 10, tasks)


def test_a_union_has_the_shards_of_both_once_and_the_larger_positions() -> None:
    rule = {"kind": "delimited"}
    first = Results("p", 2, {"1": (10, 5), "2": (7, 7)}, {"r.csv": rule}, (_shard("a"), _shard("b")))
    second = Results(
        "p",
        1,
        {"1": (20, 9), "3": (1, 1)},
        {"r.csv": {"kind": "none"}, "s.csv": rule},
        (_shard("a"), _shard("c")),
        (Broken(1, 1, "r.csv", "why"),),
    )
    found = union.unite(first, second)
    assert found == Results(
        "p",
        3,
        {"1": (20, 9), "2": (7, 7), "3": (1, 1)},
        {"r.csv": rule, "s.csv": rule},
        (_shard("a"), _shard("b"), _shard("c")),
        (Broken(1, 1, "r.csv", "why"),),
    )
    assert union.disagreements(first, second) == ["r.csv"]
    assert dataclasses.replace(union.unite(first, first), harvest=2) == first


def test_a_remote_is_the_one_named_the_branch_s_origin_or_the_only_one(shell: Shell) -> None:
    def chosen(name: str | None = None) -> str:
        return remote.choose(gitrepo.discover(shell.folder), name).name

    shell.git("commit", "-q", "--allow-empty", "-m", "start")
    with pytest.raises(CjError, match="no origin"):
        chosen()
    shell.git("remote", "add", "lab", "../lab.git")
    assert chosen() == "lab"
    shell.git("remote", "add", "home", "../home.git")
    with pytest.raises(CjError, match="no origin"):
        chosen()
    shell.git("remote", "add", "origin", "../origin.git")
    assert chosen() == "origin"
    shell.git("config", "branch.main.remote", "home")
    assert chosen() == "home"
    assert chosen("lab") == "lab"
    assert chosen("/some/where.git") == "/some/where.git"
    with pytest.raises(CjError, match="no remote lob"):
        chosen("lob")
