"""Protections taken away one at a time: each must turn a test red."""
