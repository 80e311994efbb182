"""Kills brokers, relays and consumers under load, and compares what was told with the journals."""
