"""Verifies a shard's database against its journal, `await verify(dsn)`, or several and all of them
together, `await verify_shards(dsns)`."""

from storage.verify.journal import Anchor
from storage.verify.report import Check, Head, Report
from storage.verify.run import ArchiveNeeded, verify
from storage.verify.shards import ShardsReport, verify_shards

__all__ = [
    "Anchor",
    "ArchiveNeeded",
    "Check",
    "Head",
    "Report",
    "ShardsReport",
    "verify",
    "verify_shards",
]
