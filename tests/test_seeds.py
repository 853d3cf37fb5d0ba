"""Seeds that a program fixes for all its tasks are found in its text."""

from __future__ import annotations

import pytest

from cjledger.languages.python import fixed_seed


@pytest.mark.parametrize(
    ("text", "script", "function"),
    [
        ("import numpy as np\nnp.random.seed(0)\n", (2, "np.random.seed(0)"), None),
        ("rng = default_rng(42)\n", (1, "default_rng(42)"), (1, "default_rng(42)")),
        (
            "rng = np.random.RandomState(seed=3)\n",
            (1, "np.random.RandomState(seed=3)"),
            (1, "np.random.RandomState(seed=3)"),
        ),
        ("class A:\n    rng = random.Random(1)\n", (2, "random.Random(1)"), (2, "random.Random(1)")),
        ("for i in range(3):\n    torch.manual_seed(7)\n", (2, "torch.manual_seed(7)"), None),
        ("def f(x):\n    return default_rng(0).random()\n", None, None),
        ("for i in range(3):\n    rng = default_rng(i)\n", None, None),
        ("rng = default_rng(int(os.environ['CJ_SEED']))\nnp.random.seed()\n", None, None),
        ("this is no Python\n", None, None),
    ],
)
def test_the_first_fixed_seed_is_found(
    text: str, script: tuple[int, str] | None, function: tuple[int, str] | None
) -> None:
    assert fixed_seed(text.encode(), False) == script
    assert fixed_seed(text.encode(), True) == function
