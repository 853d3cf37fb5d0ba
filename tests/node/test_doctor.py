"""Looking a cluster over: every point that can be wrong is named, with what to do about it."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import subprocess
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from cjledger.cluster import node_zip
from cjledger.cluster.node import hooks
from cjnode import quota
from cjnode.errors import NodeError
from cjnode.host import avail, owners, site
from cjnode.schedulers import Element, Status
from cjnode.verbs import doctor, summary

from .cluster_kit import Site, new_site

SOURCES = doctor.sources(BytesIO(node_zip()))


def asked(found: Site, verb: str, **request: Any) -> list[dict[str, Any]]:
    """The lines of a verb's reply, run from the root as the laptop runs it."""
    done = subprocess.run(
        (found.python, "-I", "-S", found.root / "cjnode.pyz", verb, "--root", found.root, "--nonce", "n1"),
        input=json.dumps(request).encode(),
        capture_output=True,
    )
    assert done.stderr == b""
    lines = done.stdout.splitlines()
    assert (lines[1][:11], lines[-1]) == (b"cj n1 begin", b"cj n1 end")
    return [json.loads(line) for line in lines[2:-1]]


def looked(found: Site, **changes: Any) -> dict[str, tuple[str, str, str]]:
    request = {"cluster": "local", "scheduler": "local", "hooks": hooks(), "sources": SOURCES, **changes}
    first, *lines = asked(found, "doctor", **request)
    assert set(first) == {"time"}
    return {line["check"]: (line["state"], line["found"], line["advice"]) for line in lines}


def wrong(found: dict[str, tuple[str, str, str]]) -> dict[str, tuple[str, str, str]]:
    return {name: line for name, line in found.items() if line[0] != "ok"}


def test_nothing_is_wrong_with_a_new_root(tmp_path: Path, node_python: str) -> None:
    found = looked(new_site(tmp_path, node_python))
    assert wrong(found) == {}
    assert {"python", "git", "root", "space", "scheduler", "hooks", "repository", "node half"} <= set(found)


def test_a_hook_of_somebody_else_a_missing_and_a_changed_one_are_told_apart(tmp_path: Path) -> None:
    there = new_site(tmp_path)
    hook = there.root / "hooks" / "post-receive"
    text = hook.read_text()
    hook.write_text(text + "echo more\n")
    assert looked(there)["hooks"] == (
        "warning",
        "post-receive is another version's, or was changed",
        "git cj init",
    )
    hook.write_text("#!/bin/sh\nmail mia\n")
    words = f"{hook} is not cjledger's hook"
    assert looked(there)["hooks"] == ("failure", words, "move it away, then git cj init")
    hook.unlink()
    words = "post-receive is missing: pushes start nothing"
    assert looked(there)["hooks"] == ("failure", words, "git cj init")


def test_a_changed_node_half_is_named(tmp_path: Path) -> None:
    there = new_site(tmp_path)
    path = there.root / "cjnode.pyz"
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("cjnode/more.py", "print('more')\n")
    assert looked(there)["node half"] == ("warning", "another version, or it was changed", "git cj init")


def test_bytecode_that_is_not_the_sources_is_named(tmp_path: Path) -> None:
    there = new_site(tmp_path)
    path = there.root / "cjnode.pyz"
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    parts["cjnode/package/seeds.pyc"] = (
        parts["cjnode/package/seeds.pyc"][:16] + parts["cjnode/errors.pyc"][16:]
    )
    with zipfile.ZipFile(path, "w") as archive:
        for name, body in parts.items():
            archive.writestr(zipfile.ZipInfo(name), body)
    assert looked(there)["node half"][:2] == ("warning", "its bytecode is not that of this Python")


def test_a_repository_whose_hardening_was_changed_is_a_failure(tmp_path: Path) -> None:
    there = new_site(tmp_path)
    (there.repo / "cj.config").write_text("[receive]\n\tdenyDeletes = false\n")
    lines = asked(there, "doctor", cluster="local", scheduler="local", hooks=hooks(), sources=SOURCES)
    assert {
        "check": "repository",
        "state": "failure",
        "found": f"{there.repo}/cj.config was changed",
        "advice": "git cj init",
    } in lines


def test_a_root_that_others_can_write_to_is_a_failure(tmp_path: Path) -> None:
    there = new_site(tmp_path)
    there.root.chmod(0o770)
    assert looked(there)["root"] == (
        "failure",
        f"others can write to {there.root}",
        f"chmod go-w {there.root}",
    )


def test_a_backlog_is_a_warning(tmp_path: Path) -> None:
    there = new_site(tmp_path)
    (there.root / "backlog").mkdir(exist_ok=True)
    (there.root / "backlog" / f"{'a' * 40}-1.json").write_text('{"format":1,"since":"","why":""}\n')
    assert looked(there)["backlog"][:2] == ("warning", "1 submissions wait to be sent")


def test_a_python_for_tasks_that_is_not_there_is_a_warning(tmp_path: Path) -> None:
    found = looked(new_site(tmp_path), python="/nonexistent/python3")
    assert found["task's python"][:2] == (
        "warning",
        "/nonexistent/python3: /nonexistent/python3: No such file or directory",
    )


def test_a_python_for_tasks_that_is_too_old_is_a_failure(tmp_path: Path) -> None:
    old = tmp_path / "python2"
    old.write_text("#!/bin/sh\necho Python 2.7.18 >&2\n")
    old.chmod(0o700)
    found = looked(new_site(tmp_path / "site"), python=str(old))
    assert found["task's python"][:2] == (
        "failure",
        f"{old}: Python 2.7.18, and tasks need 3.6 or newer",
    )


def test_what_cannot_be_looked_at_is_named_and_the_rest_goes_on(tmp_path: Path) -> None:
    there = new_site(tmp_path)
    (there.root / "python").unlink()
    found = looked(there)
    assert found["python"][0] == "failure"
    assert found["backlog"] == ("ok", "empty", "")


@pytest.mark.parametrize(
    ("mode", "private", "is_open"),
    [
        (0o755, False, False),
        (0o775, False, True),
        (0o775, True, False),
        (0o777, True, True),
        (0o1777, False, False),
        (0o2770, False, True),
    ],
)
def test_a_folder_is_open_where_others_may_rename_what_is_in_it(
    mode: int, private: bool, is_open: bool
) -> None:
    assert owners.is_open(stat.S_IFDIR | mode, private) is is_open


def test_a_folder_above_that_others_can_write_to_is_refused_far_away_alone(tmp_path: Path) -> None:
    there = new_site(tmp_path)
    tmp_path.chmod(0o777)
    assert "root" in there.init()
    reply = there.init(remote=True)
    assert reply == {
        "error": f"others can write to {tmp_path} and so replace what is in it",
        "hint": f"chmod go-w {tmp_path}, or choose another root",
    }


def test_quotas_that_are_exceeded_have_a_star() -> None:
    under = "Filesystem blocks quota limit\n/home 100 200 300 0 10 0 0\n"
    over = "Filesystem  blocks   quota   limit\n/home   401*   300   400  7days  10  0  0\n"
    assert (quota.exceeded(under), quota.exceeded(over)) == ("", "/home 401* 300 400 7days 10 0 0")


def test_the_file_system_of_a_path_is_that_of_its_nearest_mount() -> None:
    mounts = ["a / ext4 rw", "b /scratch lustre rw", "c /scratch/x tmpfs rw", "broken"]
    assert quota.file_system("/scratch/mia", mounts) == "lustre"
    assert quota.file_system("/scratchy", mounts) == "ext4"
    assert quota.file_system("/scratch/x", mounts) == "tmpfs"


def test_the_names_of_modules_are_told_from_headings_and_marks() -> None:
    lmod = ["/apps/modulefiles/Core:", "gcc/", "gcc/12.2.0", "python/3.12(@default)", "R/4.3 (D)", "settarg"]
    tcl = ["/usr/share/modules/modulefiles:", "dot", "openblas/0.3(default)", "No modules found today"]
    assert avail.names(lmod) == ["R/4.3", "gcc/12.2.0", "python/3.12", "settarg"]
    assert avail.names(tcl) == ["dot", "openblas/0.3"]


def test_a_login_shell_that_hangs_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (Path(os.environ["HOME"]) / ".bash_profile").write_text("sleep 600\n")
    monkeypatch.setattr(site, "LOGIN_S", 0.2)  # a person waits 20 s
    assert site.login_shell() is None


def test_what_a_noisy_login_adds_is_found(tmp_path: Path) -> None:
    tools = tmp_path / "slurm" / "bin"
    tools.mkdir(parents=True)
    for name in ("sbatch", "squeue", "scancel", "scontrol", "sacct"):
        (tools / name).write_text("#!/bin/sh\necho slurm 23.11.1\n")
        (tools / name).chmod(0o755)
    lines = f"echo welcome\nexport PATH={tools}:$PATH SLURM_CONF=/etc/x.conf\nmodule() {{ :; }}\n"
    (Path(os.environ["HOME"]) / ".bash_profile").write_text(lines)
    there = new_site(tmp_path)
    assert "root" in there.init(scheduler="slurm", cluster="far")
    kept = json.loads((there.root / "site.json").read_text())
    assert kept["path"] == [str(tools)]
    assert kept["environment"] == {"SLURM_CONF": "/etc/x.conf"}
    assert kept["commands"]["sbatch"] == str(tools / "sbatch")
    assert (kept["login"], kept["modules"], kept["versions"]["slurm"]) == (True, True, "slurm 23.11.1")
    assert there.init(scheduler="sge", cluster="far") == {
        "error": "far has slurm, not sge",
        "hint": 'write scheduler = "slurm" in [cluster.far]',
    }


@pytest.mark.parametrize(
    ("programs", "told", "found"),
    [
        ("sbatch squeue", "", ["slurm"]),
        ("sbatch squeue qsub qstat qdel", "", ["slurm", "torque"]),
        ("qsub qstat qdel qconf", "", ["sge"]),
        ("qsub qstat qdel", "pbs_version = 19.1.1", ["pbs"]),
        ("qsub qstat qdel", "Version: 6.1.2\nCommit: abc", ["torque"]),
        ("qsub qstat qdel", "what?", ["pbs", "torque"]),
        ("bsub bjobs condor_submit condor_q", "", ["lsf", "htcondor"]),
        ("qsub", "", []),
    ],
)
def test_a_scheduler_is_known_by_its_programs(programs: str, told: str, found: list[str]) -> None:
    there = programs.split()
    assert site.present(lambda name: name if name in there else None, lambda argv: told) == found


def test_a_scheduler_without_programs_is_refused() -> None:
    with pytest.raises(NodeError) as caught:
        site.check("far", "lsf", [], True)
    assert caught.value.error == (
        "there is no lsf on far: bsub and bjobs are neither on PATH nor in a login shell"
    )


def test_a_summary_counts_elements_listed_and_elements_that_wait() -> None:
    counts: dict[str, int] = {}
    reasons: dict[str, int] = {}
    listed = {1: Element("RUNNING", ""), 2: Element("COMPLETED", "")}
    summary.add(counts, reasons, Status("RUNNING", "why", "3-9", listed), 9, "local")
    summary.add(counts, reasons, Status("HELD", "held by you", "", {}), 4, "local")
    summary.add(counts, reasons, Status("ENDED", "", "", {}), 4, "local")
    assert counts == {"RUNNING": 1, "COMPLETED": 1, "PENDING": 7, "HELD": 4}
    assert reasons == {"why": 7, "held by you": 4}


def test_the_sources_of_a_node_half_are_known_whatever_its_bytecode(tmp_path: Path) -> None:
    there = new_site(tmp_path)
    assert doctor.sources(there.root / "cjnode.pyz") == SOURCES
    assert (
        hashlib.sha256(node_zip()).hexdigest()
        == json.loads((there.root / "cluster.json").read_text())["cjnode"]
    )
