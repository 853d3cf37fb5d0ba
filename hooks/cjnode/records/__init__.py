"""What a submission's folder holds: claims, records, and where they lie."""
