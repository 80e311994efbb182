"""Tests against the real servers; doubles only where they pass the same contract."""
