"""Loads a running Tender the way its callers would: gRPC users on Locust, with limits that fail."""
