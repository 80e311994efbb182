"""What is compiled does what is written, and nothing stale is ever run."""
