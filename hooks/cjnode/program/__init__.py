"""Running the person's program: a task by itself, a function in a child, the listing of its loops."""
