"""What listens to events: one chassis under every consumer, which knows neither Kafka nor Postgres.

A consumer is a handler (`handlers`) that the loop (`loop`) drives: what a source delivers is read
(`delivery`), handled in one transaction with the ids of its events (`ports.Inbox`), and only then
finished. What fails is tried again or parked (`retry`, `hand`, `letters`).
"""
