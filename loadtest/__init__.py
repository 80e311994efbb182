"""Loads a running Tender the way its callers would, through the SDK."""
