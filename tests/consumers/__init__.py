"""Consumers of events: the chassis, what it stands on, and the dead-letter queue."""
