"""The asynchronous way in: commands by way of Kafka."""
