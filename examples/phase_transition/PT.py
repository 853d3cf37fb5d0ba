"""Compressed sensing: how sparse must a vector be for l1 minimisation to find it?

For every undersampling delta = n/N and sparsity epsilon = k/n, draw an n x N Gaussian matrix and a vector
with k non-zero entries, keep only the n products, and see whether basis pursuit gets the vector back.
"""

import numpy as np
from scipy.optimize import linprog

N = 100
TRIALS = 20


def recovers(n, k):
    """Whether basis pursuit finds a random k-sparse vector again from n random measurements."""
    matrix = np.random.standard_normal((n, N))
    truth = np.zeros(N)
    truth[:k] = np.random.standard_normal(k)
    # min |x|_1 subject to A x = y, as a linear program in x = positive - negative
    found = linprog(np.ones(2 * N), A_eq=np.hstack([matrix, -matrix]), b_eq=matrix @ truth, method="highs")
    if not found.success:
        return False
    error = np.linalg.norm(found.x[:N] - found.x[N:] - truth)
    return error < 1e-4 * np.linalg.norm(truth)


with open("results.txt", "w") as results:
    results.write("delta,epsilon,n,k,trials,pr\n")

for delta in np.arange(1, 10) / 10:
    for epsilon in np.arange(1, 50) / 50:
        n = round(delta * N)
        k = max(1, round(epsilon * n))
        successes = sum(recovers(n, k) for _ in range(TRIALS))
        with open("results.txt", "a") as results:
            results.write(f"{delta},{epsilon},{n},{k},{TRIALS},{successes / TRIALS}\n")
