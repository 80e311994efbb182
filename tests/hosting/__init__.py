"""One processor process with the lanes of several shards."""
