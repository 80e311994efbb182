"""The directory: which shard has which buckets. A hint that may lag; each shard knows its own."""
