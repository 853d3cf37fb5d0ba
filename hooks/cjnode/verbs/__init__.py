"""What the laptop asks for, a function each."""
