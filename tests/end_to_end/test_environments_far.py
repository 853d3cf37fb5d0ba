"""An environment and data on a machine reached by ssh, with a real scheduler."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.clusters.far import Far
from tests.clusters.laptops import laptop
from tests.clusters.modulefiles import Modules
from tests.clusters.ports import wait_until
from tests.shells import Shell
from tests.test_environments import wheel

PROGRAM = """\
#CJ -s 'in/reads.txt' '{reads}'
import tiny
print(tiny.VERSION, open("in/reads.txt").read())
"""


def test_modules_are_loaded_by_the_scheduler_s_jobs(
    far: Callable[[str], Far], tmp_path: Path, site_modules: Modules
) -> None:
    site_modules.add("toolbox/1.2", TOOLBOX="one two")
    cluster = far("slurm")
    shell = laptop(tmp_path / "work", cluster, root=tmp_path / "root")
    settings = shell.folder / ".cjledger.toml"
    head, _, rest = settings.read_text().partition("\n")
    settings.write_text(f'{head}\nenvironment = "modules"\nmodules = ["toolbox/1.2"]\n{rest}')
    shell.write("main.py", "import os\nprint(os.environ['TOOLBOX'])\n")
    tmp_path.chmod(0o755)
    lines = [f"export {name}={value}" for name, value in site_modules.variables.items()]
    cluster.sshd.at_login("\n".join(lines) + "\n")
    try:
        package = shell.launch("run", "main.py", cluster.name)
        assert shell.cj("show", f"{package}/1", "--out") == "one two\n"
        (told,) = shell.lines("show", "--env-check")
        assert told["modules"] == ["toolbox/1.2"]
        settings.write_text(settings.read_text().replace("toolbox/1.2", "gone"))
        shell.cj("run", "main.py", cluster.name)
        words = "module load gone failed"
        wait_until(lambda: words in " ".join(shell.lines("state", "@", "--fresh")[0]["problems"]), words)
    finally:
        cluster.sshd.at_login("")


@pytest.fixture
def there(far: Callable[[str], Far], tmp_path: Path) -> Shell:
    (tmp_path / "shared").mkdir()
    tmp_path.chmod(0o755)
    wheel(tmp_path / "shared", "tiny", "1.5")
    (tmp_path / "shared" / "reads.txt").write_text("ACGT")
    shell = laptop(tmp_path / "work", far("slurm"), root=tmp_path / "root")
    settings = shell.folder / ".cjledger.toml"
    found = settings.read_text()
    assert found.startswith("[cluster.")
    head, _, rest = found.partition("\n")
    settings.write_text(f'{head}\nenvironment = "venv"\n{rest}')
    shell.write("main.py", PROGRAM.format(reads=tmp_path / "shared" / "reads.txt"))
    shell.write("requirements.txt", f"--no-index\n--find-links {tmp_path}/shared\ntiny==1.5\n")
    return shell


def test_a_venv_is_built_over_ssh_and_used_by_the_scheduler_s_jobs(there: Shell) -> None:
    name = (there.folder / ".cjledger.toml").read_text().partition(".")[2].partition("]")[0]
    first = there.run("git", "cj", "run", "main.py", name, "--wait")
    assert "building environment " in first.stderr
    assert there.cj("show", "@/1", "--out") == "1.5 ACGT\n"
    assert there.cj("show", "--env-check").endswith("  as the lock file says\n")
    second = there.run("git", "cj", "run", "main.py", name, "--wait")
    assert "building" not in second.stderr
