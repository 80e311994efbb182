"""The embedded stack: Postgres, Valkey, Kafka, processor and gateway as children on loopback."""

from deploy import COMPILED as COMPILED
