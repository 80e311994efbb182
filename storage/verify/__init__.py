"""Verifies a shard's database against its journal: `await verify(dsn)`."""

from storage.verify.journal import Anchor
from storage.verify.report import Check, Head, Report
from storage.verify.run import verify

__all__ = ["Anchor", "Check", "Head", "Report", "verify"]
