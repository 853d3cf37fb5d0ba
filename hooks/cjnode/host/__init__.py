"""The machine: what it has, and the set-up of a root on it."""
