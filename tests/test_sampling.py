"""Sampled points: the same seed gives the same ones, spread as the design says."""

from __future__ import annotations

import json
import statistics
from typing import Any

import pytest

from cjledger.errors import CjError
from cjledger.sweep import is_sampled
from cjledger.sweep.sampling import from_samples


def rows(*specs: str, samples: int = 64, design: str = "random", seed: int = 1) -> list[list[Any]]:
    sweep, files = from_samples(specs, samples, design, seed, 1)
    found = [json.loads(line) for _, content in files for line in content.splitlines()]
    assert sweep.explicit == len(found)
    assert sweep.names == tuple(spec.partition("=")[0] for spec in specs)
    return found


@pytest.mark.parametrize("design", ["random", "lhs", "sobol"])
def test_a_seed_gives_the_same_points_and_another_one_others(design: str) -> None:
    specs = ("x=uniform(0,1)", "y=normal(0,1)")
    assert rows(*specs, design=design) == rows(*specs, design=design)
    assert rows(*specs, design=design) != rows(*specs, design=design, seed=2)


@pytest.mark.parametrize("design", ["lhs", "sobol"])
def test_a_design_puts_one_sample_into_each_slice(design: str) -> None:
    found = rows("x=uniform(0,64)", "y=uniform(0,64)", design=design)
    for column in zip(*found, strict=True):
        assert sorted(int(value) for value in column) == list(range(64))


def test_distributions_have_their_range_and_shape() -> None:
    found = rows(
        "a=uniform(-1,1)", "b=loguniform(1e-4,1e-1)", "c=normal(10,2)", "d=choice(u,v)", "e=randint(1,6)",
        samples=4000,
    )  # fmt: skip
    a, b, c, d, e = zip(*found, strict=True)
    assert -1 <= min(a) < -0.9 < 0.9 < max(a) < 1
    assert 1e-4 <= min(b) < max(b) < 1e-1
    assert statistics.median(b) == pytest.approx(10**-2.5, rel=0.15)
    assert (statistics.mean(c), statistics.stdev(c)) == (
        pytest.approx(10, abs=0.2),
        pytest.approx(2, abs=0.2),
    )
    assert set(d) == {"u", "v"}
    assert set(e) == {1, 2, 3, 4, 5, 6}


def test_values_multiply_and_each_gets_the_same_samples() -> None:
    found = rows("model=p,q", "x=uniform(0,1)", samples=3)
    assert [row[0] for row in found] == ["p", "p", "p", "q", "q", "q"]
    assert [row[1] for row in found[:3]] == [row[1] for row in found[3:]]


def test_a_distribution_is_told_from_values() -> None:
    assert is_sampled("x=uniform(0,1)")
    assert not is_sampled("x=linspace(0,1,3)")
    assert not is_sampled("x='uniform(0,1)'")


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("x=uniform(1,0)", "lower and a higher"),
        ("x=loguniform(0,1)", "above 0"),
        ("x=normal(0)", "two numbers"),
        ("x=normal(0,-1)", "standard deviation"),
        ("x=randint(1,2.5)", "whole number"),
        ("x=randint(0,9007199254740992)", "at most"),
        ("x=choice()", "no value"),
        ("x=uniform(a,b)", "two numbers"),
        ("2x=uniform(0,1)", "parameter name"),
    ],
)
def test_a_wrong_distribution_is_refused(spec: str, words: str) -> None:
    with pytest.raises(CjError, match=words):
        from_samples([spec], 2, "random", 1, 1)


def test_no_samples_and_unknown_designs_are_refused() -> None:
    with pytest.raises(CjError, match="nothing to run"):
        from_samples(["x=uniform(0,1)"], 0, "random", 1, 1)
    with pytest.raises(CjError, match="no design grid"):
        from_samples(["x=uniform(0,1)"], 1, "grid", 1, 1)
