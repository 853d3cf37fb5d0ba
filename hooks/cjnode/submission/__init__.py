"""Making tasks jobs, with all that follows: what waits, runs again, or runs after others."""
