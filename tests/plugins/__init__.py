"""Plugins that pytest loads for every run."""
