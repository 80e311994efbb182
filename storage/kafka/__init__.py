"""Kafka: what is published there and read from there."""
