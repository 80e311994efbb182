"""What events cost and how fast they are: a relay and Apache Kafka beside payments."""
