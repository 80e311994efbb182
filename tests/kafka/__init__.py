"""Kafka: Apache Kafka as it runs on this machine, and the topics."""
