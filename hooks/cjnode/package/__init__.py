"""What a package says: its manifest, points, seeds, retries, environment. The laptop reads it by the same."""
