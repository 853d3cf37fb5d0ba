"""Compare the measured phase transition with the Donoho-Tanner curve.

    python compare.py TABLE [--picture FILE]

TABLE is the CSV that `git cj reduce` writes, or the results.txt of `python PT.py`. Exit status 1 when a
measured transition lies further than TOLERANCE from the curve.
"""

import argparse
import csv
import sys
from collections import defaultdict

import theory

# The curve is the limit of large N. At N = 100 the transition lies above it, by 0.02 at delta = 0.1, where
# n is 10, and by 0.01 or more elsewhere; 20 trials a point add a standard error of about 0.006.
TOLERANCE = 0.05


def read(path):
    """Success rates as {delta: [(epsilon, pr), ...]}."""
    rates = defaultdict(list)
    with open(path, newline="") as table:
        for row in csv.DictReader(table):
            rates[float(row["delta"])].append((float(row["epsilon"]), float(row["pr"])))
    return dict(sorted(rates.items()))


def draw(rates, path):
    """The success rates as a map, the curve over it."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 5.5), layout="constrained")
    epsilons = [epsilon for epsilon, _ in sorted(next(iter(rates.values())))]
    image = [[dict(rates[delta])[epsilon] for delta in rates] for epsilon in epsilons]
    mesh = axes.pcolormesh(list(rates), epsilons, image, cmap="viridis", vmin=0, vmax=1, shading="nearest")
    fine = [step / 200 for step in range(10, 191)]
    axes.plot(fine, [theory.boundary(delta) for delta in fine], "w-", lw=2, label="Donoho-Tanner")
    axes.plot(list(rates), [theory.crossing(pairs) for pairs in rates.values()], "r.", label="measured")
    axes.set(xlabel="delta = n/N", ylabel="epsilon = k/n", title="Probability that l1 minimisation succeeds")
    axes.legend()
    figure.colorbar(mesh)
    figure.savefig(path, dpi=120)


def main():
    """Print one line for each delta."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table")
    parser.add_argument("--picture")
    arguments = parser.parse_args()
    rates = read(arguments.table)
    print("delta  measured  theory  difference")
    worst = 0.0
    for delta, pairs in rates.items():
        measured, expected = theory.crossing(pairs), theory.boundary(delta)
        print(f"{delta:5.2f}  {measured:8.3f}  {expected:6.3f}  {measured - expected:+10.3f}")
        worst = max(worst, abs(measured - expected))
    if arguments.picture:
        draw(rates, arguments.picture)
    verdict = "within" if worst <= TOLERANCE else "BEYOND"
    print(f"largest difference {worst:.3f}, {verdict} the tolerance of {TOLERANCE}")
    return worst > TOLERANCE


if __name__ == "__main__":
    sys.exit(main())
