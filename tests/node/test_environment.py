from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cjnode.errors import NodeError
from cjnode.package import environment, modules
from cjnode.package.environment import Wanted, build_script, setup_lines, wanted_from_json
from cjnode.schedulers import JobSpec
from cjnode.schedulers.local import batch_script
from tests.clusters.modulefiles import Modules
from tests.node.cluster_kit import wait_for
from tests.node.conftest import HOOKS

ID = "0123456789abcdef"
PLATFORM = f"{os.uname().sysname}-{os.uname().machine}"
PLAIN = {"kind": "none", "id": "", "lock": "", "modules": [], "python": "", "image": ""}
VENV = {**PLAIN, "kind": "venv", "id": ID, "lock": "requirements.txt", "python": sys.executable}

# A program that makes environments as micromamba does, and checks what it is told: the options are those of
# `micromamba create` (https://mamba.readthedocs.io/en/latest/user_guide/micromamba.html).
MICROMAMBA = """#!/bin/sh
echo "$@" >>"$STUB/calls"
[ "$1 $2 $3 $5" = "create --yes --prefix --file" ] && [ $# = 6 ] && [ -f "$6" ] && [ ! -e "$4" ] || exit 64
[ ! -e "$STUB/wait" ] || { echo "Solving environment"; read line <"$STUB/wait"; }
[ ! -e "$STUB/fail" ] || { echo "nothing provides numpy 99"; exit 1; }
mkdir -p "$4/bin" "$4/conda-meta" && ln -s "$STUB/python" "$4/bin/python"
"""


@dataclass(frozen=True)
class Builder:
    """A cluster's root and a stub micromamba; ``python`` runs the node half."""

    root: Path
    stub: Path
    python: str

    @property
    def folder(self) -> Path:
        return self.root / "environments" / ID / PLATFORM

    def start(self, request: Mapping[str, Any]) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            (self.python, str(HOOKS / "cjnode"), "prepare", "--root", str(self.root)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={
                **os.environ,
                "PYTHONPATH": str(HOOKS),
                "STUB": str(self.stub),
                "PATH": f"{self.stub}:{os.environ['PATH']}",
            },
        )
        assert process.stdin
        process.stdin.write(json.dumps({"environment": request}).encode())
        process.stdin.close()
        return process

    def ended(self, process: subprocess.Popen[bytes]) -> list[dict[str, Any]]:
        assert process.stdout
        assert process.stderr
        out, err = process.stdout.read(), process.stderr.read()
        process.wait()
        assert err == b""
        return [json.loads(line) for line in out.splitlines()]

    def prepare(self, request: Mapping[str, Any]) -> list[dict[str, Any]]:
        return self.ended(self.start(request))

    def calls(self) -> int:
        path = self.stub / "calls"
        return len(path.read_text().splitlines()) if path.exists() else 0

    def hold(self) -> None:
        """Let builds wait until ``go`` is called."""
        os.mkfifo(self.stub / "wait")

    def go(self) -> None:
        with (self.stub / "wait").open("w") as file:
            file.write("go\n")
        (self.stub / "wait").unlink()

    def builder_of(self, number: int) -> int:
        path = self.folder / f"claim-{number}.json"
        wait_for(path.exists)
        return int(json.loads(path.read_bytes())["pid"])


@pytest.fixture
def builder(tmp_path: Path, node_python: str) -> Builder:
    made = Builder(tmp_path / "root", tmp_path / "stub", node_python)
    made.stub.mkdir()
    (made.stub / "micromamba").write_text(MICROMAMBA)
    (made.stub / "micromamba").chmod(0o755)
    (made.stub / "python").symlink_to(sys.executable)
    return made


def conda(**changes: Any) -> dict[str, Any]:
    lock = "@EXPLICIT\nhttps://conda.anaconda.org/conda-forge/linux-64/numpy-2.1.0-py312h_0.conda\n"
    request = {**PLAIN, "kind": "conda", "id": ID, "lock": "explicit.txt", "files": {"explicit.txt": lock}}
    return {**request, **changes}


FIRST = {"progress": f"building environment {ID} (conda of explicit.txt, first time here)"}


def done(built: bool) -> dict[str, Any]:
    version = ".".join(str(part) for part in sys.version_info[:3])
    return {"environment": ID, "python": version, "built": built}


def test_an_environment_is_built_once_and_found_again(builder: Builder) -> None:
    assert builder.prepare(conda()) == [FIRST, done(True)]
    assert builder.prepare(conda()) == [done(False)]
    assert builder.calls() == 1
    assert environment.is_ready(str(builder.root), ID)


def test_two_launches_at_once_build_one(builder: Builder) -> None:
    builder.hold()
    first = builder.start(conda())
    builder.builder_of(1)
    wait_for(lambda: builder.calls() == 1)
    second = builder.start(conda())
    assert second.stdout
    told = json.loads(second.stdout.readline())
    assert told == {"progress": f"another launch builds environment {ID} (conda of explicit.txt)"}
    builder.go()
    assert builder.ended(first)[-1] == done(True)
    assert builder.ended(second)[-1] == done(True)
    assert builder.calls() == 1


def test_many_launches_at_once_build_one(builder: Builder) -> None:
    waiting = [builder.start(conda()) for _ in range(4)]
    assert [builder.ended(process)[-1]["environment"] for process in waiting] == [ID] * 4
    assert builder.calls() == 1


def test_a_build_goes_on_when_the_launch_that_waits_is_killed(builder: Builder) -> None:
    builder.hold()
    first = builder.start(conda())
    wait_for(lambda: builder.calls() == 1)
    first.kill()
    first.wait()
    for stream in (first.stdout, first.stderr):
        assert stream
        stream.close()
    builder.go()
    wait_for((builder.folder / "ready").exists)
    assert builder.prepare(conda()) == [done(False)]
    assert builder.calls() == 1


def test_a_builder_that_is_killed_is_succeeded(builder: Builder) -> None:
    builder.hold()
    first = builder.start(conda())
    wait_for(lambda: builder.calls() == 1)
    os.kill(builder.builder_of(1), signal.SIGKILL)
    assert builder.ended(first)[-1] == {
        "error": f"environment {ID} was not built: its builder died. Solving environment",
        "hint": f"run it again; the whole log is {builder.folder}/1.log",
    }
    assert not environment.is_ready(str(builder.root), ID)
    builder.go()  # what it left behind may still write: nobody looks at it
    assert builder.prepare(conda())[-1] == done(True)
    assert (builder.folder / "ready").resolve().name == "2"


def test_a_builder_that_is_killed_before_it_says_that_all_is_there_is_succeeded(builder: Builder) -> None:
    assert builder.prepare(conda())[-1] == done(True)
    wait_for(lambda: not Path(f"/proc/{builder.builder_of(1)}").exists())
    (builder.folder / "ready").unlink()
    assert builder.prepare(conda()) == [FIRST, done(True)]
    assert (builder.folder / "ready").resolve().name == "2"


def test_a_builder_on_another_machine_is_waited_for_while_it_shows_life(builder: Builder) -> None:
    builder.folder.mkdir(parents=True)
    elsewhere = {"format": 1, "pid": 1, "start": "1", "boot": "b", "machine": "another"}
    (builder.folder / "claim-1.json").write_text(json.dumps(elsewhere))
    waiting = builder.start(conda())
    assert waiting.stdout
    assert "another launch builds" in json.loads(waiting.stdout.readline())["progress"]
    aside = builder.folder / "aside"  # such a file appears whole
    aside.write_text(json.dumps({"format": 1, "error": "no space", "at": ""}))
    aside.rename(builder.folder / "1.failed.json")
    assert builder.ended(waiting)[-1]["error"].endswith("could not be built: no space")
    assert builder.calls() == 0


def test_a_build_that_fails_says_why_and_leaves_nothing_to_be_used(builder: Builder) -> None:
    (builder.stub / "fail").touch()
    log = builder.folder / "1.log"
    assert builder.prepare(conda())[-1] == {
        "error": f"environment {ID} (conda of explicit.txt) could not be built: nothing provides numpy 99",
        "hint": f"mend it, then launch again; the whole log is {log}",
    }
    assert log.read_text() == "nothing provides numpy 99\n"
    assert not (builder.folder / "1").exists()
    assert not environment.is_ready(str(builder.root), ID)
    (builder.stub / "fail").unlink()
    assert builder.prepare(conda())[-1] == done(True)


def test_an_environment_whose_python_is_gone_is_built_again(builder: Builder) -> None:
    assert builder.prepare(conda())[-1] == done(True)
    (builder.folder / "1" / "bin" / "python").unlink()
    assert builder.prepare(conda())[-1] == done(True)
    assert (builder.folder / "ready").resolve().name == "2"
    assert (builder.folder / "1").is_dir()  # a job may run in it


def test_a_program_that_is_missing_is_named(builder: Builder) -> None:
    (builder.stub / "micromamba").unlink()
    lock = {"explicit.txt": "channels: [conda-forge]\n"}
    if any(map(shutil.which, ("micromamba", "mamba", "conda"))):
        pytest.skip("there is a conda here")
    reply = builder.prepare(conda(files=lock))[-1]
    words = "cj: error: there is no micromamba or mamba or conda here"
    assert words in reply["error"]


@pytest.mark.parametrize(
    "changes",
    [
        {"id": "../../../../etc"},
        {"id": ID + "\n"},
        {"kind": "none"},
        {"files": {"../x": ""}},
        {"files": {"/etc/x": ""}},
        {"files": {}},
        {"files": 3},
        {"lock": "../explicit.txt"},
    ],
)
def test_what_could_escape_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(NodeError, match=r"^prepare: "):
        wanted_from_json(conda(**changes))


def test_a_venv_has_what_its_lock_names(tmp_path: Path, builder: Builder) -> None:
    wheel(tmp_path, "tiny", "1.5")
    lock = f"--no-index\n--find-links {tmp_path}\ntiny==1.5\n"
    request = {**VENV, "python": builder.python, "files": {"requirements.txt": lock}}
    assert builder.prepare(request)[-1]["built"] is True
    python = builder.folder / "ready" / "bin" / "python"
    assert subprocess.check_output((python, "-c", "import tiny; print(tiny.VERSION)")) == b"1.5\n"


def wheel(folder: Path, name: str, version: str) -> Path:
    """A wheel with one module."""
    import zipfile

    path = folder / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}.py", f"VERSION = {version!r}\n")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    return path


def test_uv_makes_an_environment_of_its_lock(tmp_path: Path, builder: Builder) -> None:
    uv = shutil.which("uv") or str(Path(sys.executable).with_name("uv"))
    if not os.path.exists(uv):
        pytest.skip("there is no uv")
    (builder.stub / "uv").symlink_to(uv)
    project = (
        '[project]\nname = "demo"\nversion = "0.1"\nrequires-python = ">=3.8"\ndependencies = ["tiny"]\n'
    )
    place = tmp_path / "project"
    place.mkdir()
    wheels = wheel(tmp_path, "tiny", "1.5").parent
    project += f'[tool.uv]\nno-index = true\nfind-links = ["{wheels}"]\n'
    (place / "pyproject.toml").write_text(project)
    lock = (uv, "lock", "-q", "--offline", "--no-python-downloads", "--python", sys.executable)
    subprocess.run(lock, cwd=place, check=True)
    files = {f"sub/{name}": (place / name).read_text() for name in ("uv.lock", "pyproject.toml")}
    request = {**PLAIN, "kind": "uv", "id": ID, "lock": "sub/uv.lock", "files": files}
    request["python"] = sys.executable
    assert builder.prepare(request)[-1]["built"] is True
    python = builder.folder / "ready" / "bin" / "python"
    assert subprocess.check_output((python, "-c", "import tiny; print(tiny.VERSION)")) == b"1.5\n"


# What `apptainer pull` and `apptainer exec` are told, and no more: options as in
# https://apptainer.org/docs/user/main/cli/apptainer_exec.html and apptainer_pull.html.
APPTAINER = """#!/bin/sh
echo "$@" >>"$STUB/calls"
case "$1" in
pull) [ $# = 3 ] && [ "${3#docker://}" != "$3" ] && echo image >"$2" ;;
exec) [ "$2" = --bind ] && [ -d "$3" ] && [ -r "$4" ] && [ "$5" = python3 ] || exit 64
  shift 5; exec "$STUB/python" "$@" ;;
*) exit 64 ;;
esac
"""
DIGEST = "docker://python@sha256:" + "0" * 64


def test_a_container_s_python_runs_in_its_image(builder: Builder) -> None:
    (builder.stub / "apptainer").write_text(APPTAINER)
    (builder.stub / "apptainer").chmod(0o755)
    request = {**PLAIN, "kind": "container", "id": ID, "image": DIGEST, "files": {}}
    assert builder.prepare(request)[-1] == done(True)
    image = builder.folder / "1" / "image.sif"
    asked = (builder.stub / "calls").read_text().splitlines()
    assert asked[0] == f"pull {image} {DIGEST}"
    assert asked[1].startswith(f"exec --bind {builder.root} {image} python3 -I -c ")
    assert builder.prepare(request)[-1] == done(False)


def test_an_image_file_that_was_replaced_is_another_one(tmp_path: Path, builder: Builder) -> None:
    (builder.stub / "apptainer").write_text(APPTAINER)
    (builder.stub / "apptainer").chmod(0o755)
    image = tmp_path / "it's $HOME.sif"
    request = {**PLAIN, "kind": "container", "id": ID, "image": str(image), "files": {}}
    assert f"there is no image {image}" in builder.prepare(request)[-1]["error"]
    image.write_text("one")
    assert builder.prepare(request)[-1] == done(True)
    image.write_text("another")
    assert builder.prepare(request)[-1] == done(True)
    assert builder.prepare(request)[-1] == done(False)


def test_the_job_script_enters_a_venv_before_the_person_s_own_lines() -> None:
    assert setup_lines(VENV, ["export A=1"]) == [
        f"# Environment {ID}: venv of requirements.txt",
        f'ENVIRONMENT="$ROOT/environments/{ID}/$(uname -s)-$(uname -m)/ready"',
        '[ -e "$ENVIRONMENT/cj-environment.json" ] ||',
        f'  {{ echo "cj: error: environment {ID} (venv) is not in $ROOT for $(uname -s)-$(uname -m): '
        'git cj submit $PACKAGE" >&2; exit 1; }',
        'ENVIRONMENT=$(cd "$ENVIRONMENT" && pwd -P)',
        "PYTHON=$ENVIRONMENT/bin/python",
        f"export CJ_ENVIRONMENT={ID}",
        "unset PYTHONHOME",
        'export VIRTUAL_ENV="$ENVIRONMENT" PATH="$ENVIRONMENT/bin:$PATH"',
        "export A=1",
    ]


def test_the_job_script_shows_a_container_its_data_and_its_gpus() -> None:
    container = {**PLAIN, "kind": "container", "id": ID, "image": DIGEST}
    assert setup_lines(container, [], ["/scratch/$x", "~/maps"], gpus=True)[-3:] == [
        "export CJ_CONTAINER_OPTIONS=--nv",
        'APPTAINER_BIND="/scratch/\\$x,$HOME/maps${APPTAINER_BIND:+,$APPTAINER_BIND}"',
        'export APPTAINER_BIND SINGULARITY_BIND="$APPTAINER_BIND"',
    ]


def job(tmp_path: Path, fields: Mapping[str, Any], **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a job script whose worker is a program that prints where it is."""
    spec = JobSpec("" if fields["kind"] in environment.BUILT else "echo", setup_lines(fields, []), {})
    script = tmp_path / "job.sh"
    script.write_text(batch_script(spec))
    return subprocess.run(
        ("sh", str(script), str(tmp_path / "root"), "p" * 8, "1"),
        capture_output=True,
        text=True,
        env={**os.environ, **variables},
    )


def test_a_job_without_its_environment_fails_in_words(tmp_path: Path) -> None:
    ended = job(tmp_path, VENV)
    words = (
        f"cj: error: environment {ID} (venv) is not in {tmp_path}/root for {PLATFORM}: git cj submit pppppppp"
    )
    assert (ended.returncode, ended.stderr.strip()) == (1, words)


# What Environment Modules 3.2 does and says, which is on clusters of CentOS 7 alone: it exits with 0.
MODULE = """module() {
  [ "$1" = load ] || return 64
  [ "$2" != old ] || {
    echo "ModuleCmd_Load.c(213):ERROR:105: Unable to locate a modulefile for 'old'" >&2; return 0; }
  LOADEDMODULES="${LOADEDMODULES:+$LOADEDMODULES:}$2"; export LOADEDMODULES
}
"""


@pytest.fixture
def old_modules(tmp_path: Path) -> dict[str, str]:
    if os.path.exists("/etc/profile.d/lmod.sh") or os.path.exists("/etc/profile.d/modules.sh"):
        pytest.skip("this machine has modules of its own")
    (tmp_path / "modules" / "init").mkdir(parents=True)
    (tmp_path / "modules" / "init" / "sh").write_text(MODULE)
    return {"MODULESHOME": str(tmp_path / "modules"), "LOADEDMODULES": ""}


def loaded(names: list[str], variables: Mapping[str, str], show: str) -> subprocess.CompletedProcess[str]:
    lines = [*modules.load_lines(names), f'echo "{show}"']
    return subprocess.run(
        ("sh", "-c", "\n".join(lines)), capture_output=True, text=True, env={**os.environ, **variables}
    )


def test_modules_are_loaded_in_a_shell_that_knows_no_module(site_modules: Modules) -> None:
    site_modules.add("toolbox/1.2", TOOLBOX="one 'two'")
    ended = loaded(["toolbox/1.2"], site_modules.variables, "$TOOLBOX|$LOADEDMODULES")
    assert (ended.stdout, ended.stderr) == ("one 'two'|toolbox/1.2\n", "")


def test_a_module_that_cannot_be_loaded_fails_the_job_with_its_words(
    tmp_path: Path, site_modules: Modules
) -> None:
    site_modules.add("toolbox/1.2")
    given = {**PLAIN, "kind": "modules", "modules": ["toolbox/1.2", "gone"]}
    ended = job(tmp_path, given, **site_modules.variables)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "gone" in ended.stderr.partition("cj: error:")[0]
    assert ended.stderr.endswith("cj: error: module load gone failed\n")


def test_a_module_command_that_fails_without_an_exit_code_is_seen_through(
    tmp_path: Path, old_modules: dict[str, str]
) -> None:
    ended = loaded(["python/3.12", "it's"], old_modules, "$LOADEDMODULES")
    assert (ended.stdout, ended.stderr) == ("python/3.12:it's\n", "")
    ended = job(tmp_path, {**PLAIN, "kind": "modules", "modules": ["python/3.12", "old"]}, **old_modules)
    words = "ModuleCmd_Load.c(213):ERROR:105: Unable to locate a modulefile for 'old'"
    said = f"{words}\ncj: error: module load old failed\n"
    assert (ended.returncode, ended.stdout, ended.stderr) == (1, "", said)


def test_a_machine_without_modules_says_so(tmp_path: Path, old_modules: dict[str, str]) -> None:
    nowhere = {"LMOD_PKG": str(tmp_path / "no"), "MODULESHOME": str(tmp_path / "no")}
    ended = job(tmp_path, {**PLAIN, "kind": "modules", "modules": ["python"]}, **nowhere)
    said = f"cj: error: there is no module command on {os.uname().nodename}\n"
    assert (ended.returncode, ended.stderr) == (1, said)


@pytest.mark.parametrize(
    ("lock", "text", "expected"),
    [
        ("environment.yml", "dependencies: [numpy]\n", '*) "$TOOL" env create --prefix "$TARGET" --file'),
        ("conda-lock.yml", "version: 1\n", '*) "$TOOL" install --prefix "$TARGET"'),
        ("spec.txt", "@EXPLICIT\n", '"$TOOL" create --yes --prefix "$TARGET" --file'),
    ],
)
def test_each_lock_of_conda_has_its_command(lock: str, text: str, expected: str) -> None:
    script = build_script(Wanted("conda", ID, lock, (), "", "", {lock: text}), "/root", "/root/e/1")
    assert expected in script
    assert subprocess.run(("sh", "-n"), input=script.encode(), capture_output=True).stderr == b""
