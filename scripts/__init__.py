"""What `make` runs: each module is one command, started with `python -m scripts.NAME`."""
