"""Locust files, one for each scenario."""
