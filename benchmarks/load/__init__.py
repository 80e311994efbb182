"""The load generator: a process of its own that makes calls and judges answers."""
