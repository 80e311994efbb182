"""What several shards, Redis and standbys give, and what it costs to lose one of them."""
