"""Real clusters on loopback for the tests: Slurm, Grid Engine, ssh servers; started and ended by process."""
