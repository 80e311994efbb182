"""One wiring file per process: settings in, parts put together, serve."""
