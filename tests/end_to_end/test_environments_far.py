"""An environment and data on a machine reached by ssh, with a real scheduler."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.clusters.far import Far
from tests.clusters.laptops import laptop
from tests.shells import Shell
from tests.test_environments import wheel

PROGRAM = """\
#CJ -s 'in/reads.txt' '{reads}'
import tiny
print(tiny.VERSION, open("in/reads.txt").read())
"""


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
