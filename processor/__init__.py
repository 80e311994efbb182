"""Decides payments and drives the lane: the single writer of a shard."""
