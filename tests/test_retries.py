"""What runs again by itself, as people write it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cjledger import config
from cjledger.errors import CjError
from cjledger.model import Cluster, Growth, Resources, Retry
from cjledger.retries import choose, parse_causes, parse_memory_growth, parse_walltime_growth
from cjnode.vocabulary import CAUSES

ASKED = Resources(memory_mb=1000, walltime_s=60)


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["timeout", "137", " NODE_FAIL "], ("TIMEOUT", "NODE_FAIL", 137)),
        (["LOST", "FAILED", "LOST"], ("FAILED", "LOST")),
        ([255, 1], (1, 255)),
    ],
)
def test_causes_are_states_and_exit_codes(words: list[str | int], found: tuple[str | int, ...]) -> None:
    assert parse_causes(words) == found


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("TIMOUT", "'TIMOUT' is no cause of a retry (did you mean TIMEOUT?)"),
        ("SIGSEGV", "'SIGSEGV' is no cause of a retry (did you mean 139?)"),
        ("OOM", "'OOM' is no cause of a retry"),
        ("COMPLETED", "'COMPLETED' is no cause of a retry"),
        ("cancelled", "what was cancelled does not run again by itself"),
        ("0", "0 is no exit code of a failure"),
        ("-9", "'-9' is no cause of a retry"),
        ("", "'' is no cause of a retry"),
    ],
)
def test_what_is_no_cause_is_refused_with_the_nearest(word: str, said: str) -> None:
    with pytest.raises(CjError) as refused:
        parse_causes([word])
    assert refused.value.message == said
    assert refused.value.hint


def test_growth_is_times_or_plus() -> None:
    assert parse_memory_growth("2x") == Growth(2.0, 0)
    assert parse_memory_growth(" +4G") == Growth(1.0, 4096)
    assert parse_walltime_growth("1.5X") == Growth(1.5, 0)
    assert parse_walltime_growth("+1h") == Growth(1.0, 3600)


@pytest.mark.parametrize(
    "text", ["2", "1x", "0.5x", "x", "-2x", "2xx", "1e9x", "+", "+0", "4G", "1001x", "infx"]
)
def test_other_growth_is_refused(text: str) -> None:
    with pytest.raises(CjError):
        parse_memory_growth(text)


def test_what_is_typed_goes_over_the_cluster_and_its_limits_hold() -> None:
    where = Cluster("far", retry=Retry(2, (137,), None, Growth(2.0, 0)), max_walltime_s=100)
    assert choose(where, ASKED, 0, None, None, None) is None
    with pytest.raises(CjError, match="TIMEOUT is not among"):
        choose(where, ASKED, None, None, None, None)
    assert choose(where, ASKED, 5, "TIMEOUT,OUT_OF_MEMORY", "+1G", None) == Retry(
        5, ("TIMEOUT", "OUT_OF_MEMORY"), Growth(1.0, 1024), Growth(2.0, 0, 100)
    )
    assert choose(Cluster("far"), ASKED, 1, None, None, None) == Retry(1, CAUSES)
    assert choose(Cluster("far"), Resources(), None, None, None, None) is None


def _load(folder: Path, table: str) -> Any:
    (folder / ".cjledger.toml").write_text(f"[cluster.far.retry]\n{table}\n")
    return config.load(folder, folder / "none")


def test_the_configuration_has_a_table_of_it(tmp_path: Path) -> None:
    text = 'count = 3\non = ["timeout", 9]\ngrow_memory = "2x"\ngrow_walltime = "+1h"'
    assert _load(tmp_path, text).clusters["far"].retry == Retry(
        3, ("TIMEOUT", 9), Growth(2.0, 0), Growth(1.0, 3600)
    )


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("count = 101", "cluster.far.retry.count 101 retries: 0 to 100 can be"),
        ('count = "3"', "cluster.far.retry.count must be a whole number"),
        ('on = ["NODEFAIL"]', "did you mean NODE_FAIL?"),
        ("on = []", "cluster.far.retry.on must be a list"),
        ("on = [true]", "'True' is no cause"),
        ('grow_memory = "4G"', "'4G' is no growth"),
        ("grow_walltime = 2", "cluster.far.retry.grow_walltime must be a text"),
        ("grow_mem = 2", "unknown key cluster.far.retry.grow_mem (did you mean grow_memory?)"),
    ],
)
def test_faults_of_the_table_are_named(tmp_path: Path, line: str, said: str) -> None:
    with pytest.raises(CjError) as refused:
        _load(tmp_path, line)
    assert said in refused.value.message
