"""The verbs of clusters as a person types them, over a real ssh server to real schedulers."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.clusters.far import Far
from tests.clusters.laptops import laptop
from tests.clusters.modulefiles import Modules
from tests.shells import Shell


@pytest.fixture(params=["slurm", "sge"])
def cluster(request: pytest.FixtureRequest, far: Callable[[str], Far]) -> Far:
    return far(request.param)


@pytest.fixture
def there(cluster: Far, tmp_path: Path) -> Shell:
    return laptop(tmp_path / "work", cluster, root=tmp_path / "root")


def checks(shell: Shell, *words: str, code: int = 0) -> dict[tuple[str, str], tuple[str, str, str]]:
    """What doctor says, by place and point."""
    found = shell.lines("doctor", *words, code=code)
    return {(x["where"], x["check"]): (x["state"], x["found"], x["advice"]) for x in found}


def test_init_sets_a_cluster_up_and_says_what_it_found(cluster: Far, there: Shell, tmp_path: Path) -> None:
    (found,) = there.lines("init", cluster.name)
    kept = json.loads((tmp_path / "root" / "site.json").read_text())
    assert (found["was"], found["scheduler"], found["root"]) == (
        "set up",
        cluster.scheduler,
        str(tmp_path / "root"),
    )
    assert found["path"] == kept["path"]
    assert set(found["versions"]) == {"git", "python", cluster.scheduler}
    assert found["limits"]["present"] == 0
    assert there.lines("init", cluster.name)[0]["was"] == "checked"
    text = there.cj("init", cluster.name)
    assert all(len(line) <= 80 for line in text.splitlines()[1:]), text


def test_doctor_finds_nothing_wrong_and_sends_a_task(cluster: Far, there: Shell) -> None:
    there.cj("init", cluster.name)
    found = checks(there, cluster.name, "--submit")
    assert {name for name, (state, _, _) in found.items() if state == "failure"} == set()
    assert found[(cluster.name, "round trip")][0] == "ok"
    assert found[(cluster.name, "clock")] == ("ok", "agrees with this machine's", "")
    assert found[(cluster.name, "hooks")] == ("ok", "as sent", "")
    assert found[(cluster.name, "node half")] == ("ok", "as sent", "")
    assert found[(cluster.name, "backlog")] == ("ok", "empty", "")
    assert cluster.scheduler in found[(cluster.name, "scheduler")][1]
    # Nothing is left: neither a package here nor its files there.
    assert there.git("for-each-ref", "refs/cj/packages/") == ""


def test_a_scheduler_that_is_not_there_is_refused_by_the_name_of_the_one_that_is(
    cluster: Far, there: Shell, tmp_path: Path
) -> None:
    other = {"slurm": "sge", "sge": "slurm"}[cluster.scheduler]
    config = there.folder / ".cjledger.toml"
    config.write_text(
        config.read_text().replace(f'scheduler = "{cluster.scheduler}"', f'scheduler = "{other}"')
    )
    words = there.refused("init", cluster.name)
    assert f"{cluster.name} has {cluster.scheduler}, not {other}" in words
    assert f'scheduler = "{cluster.scheduler}" in [cluster.{cluster.name}]' in words
    assert not (tmp_path / "root" / "cluster.json").exists()


def test_summary_counts_jobs_by_package_and_others(cluster: Far, there: Shell) -> None:
    there.cj("init", cluster.name)
    assert there.cj("summary", cluster.name) == "no jobs\n"
    there.write("wait.py", "import time\ntime.sleep(600)\n")
    package = there.lines("run", "wait.py", cluster.name)[0]["package"]
    try:
        there.cj("hold", "@")
        *queued, last = there.lines("summary", cluster.name)
        assert [x["package"] for x in queued] == [package]
        assert sum(queued[0]["counts"].values()) == 1
        assert (last["other"], last["backlog"]) == (0, 0)
        assert package[:12] in there.cj("summary", cluster.name)
        there.cj("release", "@")
    finally:
        there.cj("cancel", "@")


def test_a_hook_of_somebody_else_stops_init_and_is_named_by_doctor(
    cluster: Far, there: Shell, tmp_path: Path
) -> None:
    there.cj("init", cluster.name)
    hook = tmp_path / "root" / "hooks" / "post-receive"
    hook.write_text("#!/bin/sh\nmail -s pushed mia\n")
    found = checks(there, cluster.name, code=1)
    words = f"{hook} is not cjledger's hook"
    assert found[(cluster.name, "hooks")] == (
        "failure",
        words,
        f"move it away, then git cj init {cluster.name}",
    )
    assert words in there.refused("init", cluster.name)
    there.write("hello.py", "print('hello')\n")
    said = there.refused("run", "hello.py", cluster.name)
    assert words in said
    assert "is kept" in said
    assert there.cj("summary", cluster.name) == "no jobs\n"
    assert hook.read_text() == "#!/bin/sh\nmail -s pushed mia\n"
    hook.unlink()
    there.cj("init", cluster.name)
    assert there.lines("submit", "@")[0]["jobs"]
    there.cj("state", "@", "--watch")


@pytest.fixture
def plain(far: Callable[[str], Far], tmp_path: Path) -> tuple[Far, Shell]:
    """A machine with no scheduler but our own."""
    cluster = far("local")
    return cluster, laptop(tmp_path / "work", cluster, root=tmp_path / "root")


def test_avail_lists_modules_of_a_login_shell(plain: tuple[Far, Shell], site_modules: Modules) -> None:
    cluster, shell = plain
    assert "has no module command" in shell.run("git", "cj", "avail", cluster.name).stderr
    for name in ("gcc/11.4.0", "gcc/12.2.0", "openblas/0.3", "python/3.12"):
        site_modules.add(name)
    profile = cluster.sshd.home / ".bash_profile"
    profile.write_text("echo welcome\n" + site_modules.lines)
    try:
        assert shell.cj("avail", cluster.name) == "gcc/11.4.0\ngcc/12.2.0\nopenblas/0.3\npython/3.12\n"
        (found,) = shell.lines("avail", cluster.name, "PYTHON")
        command = {"lmod": "Lmod 8.6.19", "tcl": "Environment Modules"}[site_modules.system]
        assert found == {"cluster": cluster.name, "command": command, "modules": ["python/3.12"]}
    finally:
        profile.unlink()


def test_a_root_below_a_folder_that_others_can_write_to_is_refused(
    plain: tuple[Far, Shell], tmp_path: Path
) -> None:
    cluster, shell = plain
    open_folder = tmp_path / "open"
    open_folder.mkdir()
    open_folder.chmod(0o777)
    config = shell.folder / ".cjledger.toml"
    config.write_text(config.read_text().replace(str(tmp_path / "root"), str(open_folder / "root")))
    words = shell.refused("init", cluster.name)
    assert f"others can write to {open_folder} and so replace what is in it" in words
    open_folder.chmod(0o1777)  # as /tmp
    shell.cj("init", cluster.name)


def test_a_root_that_cannot_be_made_is_refused(plain: tuple[Far, Shell], tmp_path: Path) -> None:
    cluster, shell = plain
    (tmp_path / "root").write_text("a file\n")
    assert f"{tmp_path / 'root'}: File exists" in shell.refused("init", cluster.name)


def test_doctor_of_a_cluster_that_is_not_set_up_says_how(plain: tuple[Far, Shell]) -> None:
    cluster, shell = plain
    found = checks(shell, cluster.name, code=1)
    state, _, advice = found[(cluster.name, "set up")]
    assert (state, advice) == ("failure", f"git cj init {cluster.name}")


def test_doctor_of_an_unknown_host_says_what_ssh_says(plain: tuple[Far, Shell]) -> None:
    cluster, shell = plain
    config = shell.folder / ".cjledger.toml"
    config.write_text(config.read_text().replace(cluster.sshd.site.alias, "nowhere.invalid"))
    found = checks(shell, cluster.name, code=1)
    state, words, advice = found[(cluster.name, "login")]
    assert state == "failure"
    assert "nowhere.invalid" in words
    assert advice


def test_the_first_launch_sets_up_and_says_so(plain: tuple[Far, Shell], tmp_path: Path) -> None:
    cluster, shell = plain
    done = shell.run("git", "cj", "run", "-c", "echo hello", cluster.name)
    assert f"cluster {cluster.name}: set up in {tmp_path / 'root'}" in done.stderr


def test_a_cluster_without_git_is_refused_in_plain_words(plain: tuple[Far, Shell], tmp_path: Path) -> None:
    cluster, shell = plain
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("sh", "bash", "python3", "cat", "mkdir", "rm", "mv", "env", "chmod", "sha256sum"):
        found = next((x for x in ("/usr/bin", "/bin") if os.path.exists(f"{x}/{name}")), None)
        if found:
            (tools / name).symlink_to(f"{found}/{name}")
    cluster.sshd.at_login(f"PATH={tools}; export PATH\n")
    try:
        words = shell.refused("init", cluster.name)
    finally:
        cluster.sshd.at_login("")
    assert "git" in words
    assert "hint:" in words
