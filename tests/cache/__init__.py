"""What Redis is used for, with a real Valkey that is flushed, paused, slowed down and killed."""
