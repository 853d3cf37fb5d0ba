"""The node half of cjledger: Python >= 3.6, standard library only."""

# Grows when the node half answers otherwise than before: a newer one is never replaced by an older.
VERSION = 1
