"""The edge: authenticates, validates and passes on; it decides nothing about money."""
