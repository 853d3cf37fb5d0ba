"""One block of a tall matrix: noise around one direction, and the block's own guess of that direction."""

import numpy as np

STRENGTH = 2.0  # of the signal; the noise has norm 2, below 1 nothing can be found


def direction(columns):
    """The unit vector that all blocks share."""
    vector = np.random.default_rng(285).standard_normal(columns)
    return vector / np.linalg.norm(vector)


def block(index, rows=1000, columns=1000):
    """The first right singular vector of block ``index``, as one row of ``columns`` + 4 values.

    ``alignment`` is its cosine with the true direction. For square blocks it is near
    sqrt(1 - 1 / STRENGTH**2) = 0.866 (Benaych-Georges and Nadakuditi, 2012).
    """
    random = np.random.default_rng(index)
    truth = direction(columns)
    left = random.standard_normal(rows)
    left /= np.linalg.norm(left)
    matrix = STRENGTH * np.outer(left, truth) + random.standard_normal((rows, columns)) / np.sqrt(rows)
    first = np.linalg.svd(matrix, full_matrices=False).Vh[0]
    row = {"nrow": rows, "ncol": columns, "seed": index, "alignment": float(abs(first @ truth))}
    row.update((f"v{position}", float(value)) for position, value in enumerate(first, 1))
    return row
