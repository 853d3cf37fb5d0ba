"""A submission's jobs: its parts, made jobs once, and what the scheduler was last heard to say of them."""
