"""Where the truth is kept: Postgres shards and their journal, and what makes them fast."""
