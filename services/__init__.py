"""What lives behind Kafka: a package and a process for each service, with a database of its own."""
