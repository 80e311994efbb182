"""What Redis carries for speed. Nothing here is the truth: all of it may vanish at any time."""
