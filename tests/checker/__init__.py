"""A second checker: compares what clients recorded with the database.

It shares no code with `verify`, processor or storage, so that one mistake cannot hide in both.
"""

from tests.checker.check import check
from tests.checker.history import History, Operation

__all__ = ["History", "Operation", "check"]
