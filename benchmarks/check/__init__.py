"""Compares what the generator was told with the database; shares no code with `verify`."""

from benchmarks.check.history import Found, check

__all__ = ["Found", "check"]
