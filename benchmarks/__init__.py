"""Measures Tender against what the same Postgres can do by itself."""
