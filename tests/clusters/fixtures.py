"""The real clusters as fixtures: started when a test first asks, one of each for a test process.

Where a component cannot be had its tests are skipped by name; with CJ_REQUIRE_CLUSTERS=1 they fail.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest

from tests.clusters.far import Far
from tests.clusters.far import far as far_away
from tests.clusters.modulefiles import SYSTEMS, Modules, modules
from tests.clusters.packages import MissingError
from tests.clusters.sge import Sge
from tests.clusters.sge import sge as start_sge
from tests.clusters.slurm import Slurm
from tests.clusters.slurm import slurm as start_slurm
from tests.clusters.sshd import Sshd
from tests.clusters.sshd import sshd as start_sshd

_Started = TypeVar("_Started")

# Read before the tests are sealed from the environment.
_REQUIRED = bool(os.environ.get("CJ_REQUIRE_CLUSTERS"))


@contextmanager
def place() -> Iterator[Path]:
    """A folder with a short path: sockets' names may have no more than 107 characters."""
    folder = Path(tempfile.mkdtemp(prefix="cj-", dir="/tmp"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def or_skip() -> Iterator[None]:
    """Skip the test that needs what is missing here, or fail it when it was said that nothing may be."""
    try:
        yield
    except MissingError as problem:
        if _REQUIRED:
            pytest.fail(f"CJ_REQUIRE_CLUSTERS is set, and {problem}")
        pytest.skip(str(problem))


def started(stack: ExitStack, start: Callable[[Path], AbstractContextManager[_Started]]) -> _Started:
    """What ``start`` gives for a folder of its own, until the stack closes."""
    with or_skip():
        for _ in range(2):
            # A port that was free a moment ago may be taken by now.
            with suppress(RuntimeError):
                return stack.enter_context(start(stack.enter_context(place())))
        return stack.enter_context(start(stack.enter_context(place())))


@pytest.fixture(scope="session")
def real_slurm() -> Iterator[Slurm]:
    """A running Slurm of four nodes of 16 processors."""
    with ExitStack() as stack:
        yield started(stack, start_slurm)


@pytest.fixture(scope="session")
def slurm(real_slurm: Slurm) -> Slurm:
    """The same, where no folder of tests has another by this name."""
    return real_slurm


@pytest.fixture(scope="session")
def sge() -> Iterator[Sge]:
    """A running Grid Engine of 32 slots."""
    with ExitStack() as stack:
        yield started(stack, start_sge)


@pytest.fixture(params=SYSTEMS)
def site_modules(request: pytest.FixtureRequest, tmp_path: Path) -> Modules:
    """Lmod and Environment Modules, without any module."""
    with or_skip():
        return modules(request.param, tmp_path / "modulefiles")


@pytest.fixture(scope="session")
def sshd() -> Iterator[Sshd]:
    """A running ssh server, reached as ``loop``."""
    with ExitStack() as stack:
        yield started(stack, start_sshd)


@pytest.fixture(scope="session")
def far(request: pytest.FixtureRequest) -> Iterator[Callable[[str], Far]]:
    """Machines with a scheduler, by its name: local, slurm, sge or torque; each is started once."""
    known: dict[str, Far] = {}
    with ExitStack() as stack:

        def by_scheduler(scheduler: str) -> Far:
            if scheduler not in known:
                shared = {"slurm": "real_slurm", "sge": "sge"}.get(scheduler)
                backend = request.getfixturevalue(shared) if shared else None
                start = partial(far_away, scheduler, backend=backend)
                known[scheduler] = started(stack, start)
            return known[scheduler]

        yield by_scheduler
