"""An element of a job: it claims blocks of tasks, runs them, and writes their records."""
