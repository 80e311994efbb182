"""Implements what the processor needs from storage on Postgres, with asyncpg."""
