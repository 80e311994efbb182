"""The services behind Kafka."""
