"""Finish the tall-and-skinny SVD from the harvested blocks: python finish.py TABLE [-o VECTOR.csv].

TABLE is the Parquet or CSV file that `git cj reduce` wrote, one row a block. The blocks' vectors, stacked,
are a matrix of a thousandth of the rows; its first right singular vector is the answer. The sign of each
block's vector is arbitrary and does not matter here.
"""

import argparse

import numpy as np
import polars as pl

from block import direction


def read(path):
    """The blocks' vectors as rows, and their alignments."""
    table = pl.read_parquet(path) if path.endswith(".parquet") else pl.read_csv(path)
    columns = int(table["ncol"][0])
    vectors = table.select(f"v{position}" for position in range(1, columns + 1)).to_numpy()
    return vectors, table["alignment"].to_numpy()


def finish(vectors):
    """The first right singular vector of the stacked blocks."""
    return np.linalg.svd(vectors, full_matrices=False).Vh[0]


def main():
    """Print how much better the blocks are together than alone."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table")
    parser.add_argument("-o", "--output")
    arguments = parser.parse_args()
    vectors, alignments = read(arguments.table)
    first = finish(vectors)
    together = abs(first @ direction(len(first)))
    print(f"blocks                  {len(vectors)}")
    print(f"alignment of one block  {alignments.mean():.4f}")
    print(f"alignment of all        {together:.4f}")
    if arguments.output:
        np.savetxt(arguments.output, first, header="v", comments="")


if __name__ == "__main__":
    main()
