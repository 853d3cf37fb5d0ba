"""What a cluster says no to: in its own words, with the package kept and nothing run, until it is mended."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.clusters.far import Far
from tests.clusters.far import far as machine
from tests.clusters.fixtures import or_skip, place
from tests.clusters.laptops import laptop, line
from tests.clusters.slurm import Site
from tests.shells import Shell

PARTITIONS = (
    "PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE DefaultTime=60 State=UP",
    "PartitionName=short Nodes=ALL MaxTime=30 State=UP",
    "PartitionName=closed Nodes=ALL AllocNodes=elsewhere State=UP",
    "PartitionName=off Nodes=ALL State=INACTIVE",
)


@pytest.fixture(scope="module")
def strict() -> Iterator[Far]:
    """A Slurm that enforces its limits when a job is submitted, partitions among them."""
    site = Site(nodes=1, cpus=2, extra=("EnforcePartLimits=ALL",), partitions=PARTITIONS)
    with place() as folder, or_skip(), machine("slurm", folder, slurm_site=site) as made:
        yield made


def refused(shell: Shell, cluster: str, *words: str) -> tuple[str, str]:
    """The refusal of a launch and its hint; the package is kept, and is not run."""
    *_, error, hint = shell.refused("run", "-c", "touch ran", cluster, *words).splitlines()
    entry = shell.lines("log", "-n", "1")[0]
    assert error.startswith(
        f"error: package {entry['package'][:12]} is kept, but {cluster} did not take it: "
    )
    assert entry["submitted"] is False
    state = shell.lines("state")[0]
    assert (state["counts"], state["final"]) == ({"PENDING": 1}, False)
    assert state["problems"] == [f"not submitted: git cj submit {entry['package'][:8]}"]
    return error.partition("did not take it: ")[2], hint.removeprefix("hint: ")


@pytest.mark.parametrize(
    ("words", "said", "hint"),
    [
        (["--alloc=--partition=nosuch"], "invalid partition specified: nosuch", "sinfo -s"),
        (["--alloc=--partition=off"], "partition not available", "sinfo -s"),
        (["--alloc=--partition=closed"], "Access/permission denied", "sinfo -s"),
        (["--alloc=--partition=short", "--time=2:00:00"], "time limit is invalid", "less with --time"),
        (["--alloc=--bogus=1"], "unrecognized option '--bogus=1'", "man sbatch"),
        (["--mem=900G"], "Memory specification can not be satisfied", "sinfo -Nl"),
        (["--nodes=9"], "More processors requested than permitted", "sinfo -Nl"),
        (["--gpus=1"], "Invalid generic resource (gres) specification", "sinfo -Nl"),
    ],
)
def test_what_slurm_refuses_is_told_in_its_own_words(
    strict: Far, tmp_path: Path, words: list[str], said: str, hint: str
) -> None:
    shell = laptop(tmp_path / "work", strict, root=tmp_path / "root")
    error, advice = refused(shell, "slurm", *words)
    assert error.startswith("sbatch refused: ")
    assert said in error
    assert hint in advice
    # The same question has the same answer, and no job came of either.
    assert said in shell.refused("submit", "@")
    assert strict.slurm.run("squeue", "-h") == ""
    assert shell.cj("summary", "slurm") == "no jobs\n"


def test_what_was_refused_and_cancelled_is_at_its_end_until_it_is_retried(
    strict: Far, tmp_path: Path
) -> None:
    shell = laptop(tmp_path / "work", strict, root=tmp_path / "root")
    refused(shell, "slurm", "--alloc=--partition=off")
    assert "1 cancelled" in shell.cj("cancel", "@")
    state = shell.lines("state")[0]
    assert (state["counts"], state["final"]) == ({"CANCELLED": 1}, True)
    assert "was cancelled" in (words := shell.refused("submit", "@"))
    assert "hint: git cj retry" in words
    try:
        strict.slurm.run("scontrol", "update", "PartitionName=off", "State=UP")
        shell.cj("retry", "@", "--wait")
        assert shell.lines("state")[0]["counts"] == {"COMPLETED": 1}
    finally:
        strict.slurm.run("scontrol", "update", "PartitionName=off", "State=INACTIVE")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--alloc=-q nosuch.q"], 'job requests unknown queue "nosuch.q"'),
        (["--alloc=-l nosuch=1"], 'unknown resource "nosuch"'),
        (["--alloc=-pe nosuch 2"], "nosuch"),
        (["--alloc=-bogus"], "-bogus"),
    ],
)
def test_what_grid_engine_refuses_is_told_in_its_own_words(
    far: Callable[[str], Far], tmp_path: Path, words: list[str], said: str
) -> None:
    shell = laptop(tmp_path / "work", far("sge"), root=tmp_path / "root")
    error, hint = refused(shell, "sge", *words)
    assert said in error
    assert hint
    assert said in shell.refused("submit", "@")
    assert shell.cj("summary", "sge") == "no jobs\n"


def test_a_launch_to_a_host_that_is_not_there_is_made_up_for_by_submit(
    far: Callable[[str], Far], tmp_path: Path
) -> None:
    cluster = far("local")
    shell = laptop(tmp_path / "work", cluster, root=tmp_path / "root")
    config = shell.folder / ".cjledger.toml"
    right = config.read_text()
    config.write_text(right.replace(cluster.sshd.site.alias, "no-such-host.invalid"))
    config.write_text(config.read_text().replace("[cluster.local]", "[cluster.far]"))
    error, hint = refused(shell, "far")
    assert "there is no host no-such-host.invalid" in error
    assert "host of [cluster.far]" in hint
    config.write_text(right.replace("[cluster.local]", "[cluster.far]"))
    shell.cj("submit", "@", "--wait")
    assert shell.lines("state")[0]["counts"] == {"COMPLETED": 1}


def test_a_login_that_is_refused_is_told_by_the_name_of_the_host(
    far: Callable[[str], Far], tmp_path: Path
) -> None:
    cluster = far("local")
    wire = line(tmp_path / "line", cluster.sshd)
    key = tmp_path / "other"
    subprocess.run(("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)), check=True)
    config = wire.folder / "ssh_config"
    right = config.read_text()
    lines = [f"  IdentityFile {key}" if "IdentityFile" in each else each for each in right.splitlines()]
    config.write_text("\n".join(lines) + "\n")
    shell = laptop(tmp_path / "work", cluster, root=tmp_path / "root", path=wire.path)
    tables = shell.folder / ".cjledger.toml"
    tables.write_text(tables.read_text().replace("[cluster.local]", "[cluster.far]"))
    error, hint = refused(shell, "far")
    assert "Permission denied" in error
    assert "git cj connect far" in hint
    assert "hint: in a terminal, where you can be asked: git cj connect far" in shell.refused(
        "connect", "far"
    )
    config.write_text(right)
    shell.cj("submit", "@", "--wait")
    assert shell.lines("state")[0]["counts"] == {"COMPLETED": 1}


@pytest.mark.parametrize(
    ("scheduler", "words", "hint"),
    [
        ("htcondor", "nodes: HTCondor runs a job on one machine, not on 2", "--nodes 1"),
        ("sge", "nodes: Grid Engine gives several by a parallel environment", "qconf -spl"),
    ],
)
def test_nodes_that_a_scheduler_cannot_give_are_refused_before_anything_is_made(
    shell: Shell, scheduler: str, words: str, hint: str
) -> None:
    shell.write(".cjledger.toml", f'[cluster.pool]\nhost = "nowhere.invalid"\nscheduler = "{scheduler}"\n')
    *_, error, advice = shell.refused("run", "-c", "true", "pool", "--nodes", "2").splitlines()
    assert words in error
    assert hint in advice
    assert shell.git("for-each-ref", "refs/cj") == ""
