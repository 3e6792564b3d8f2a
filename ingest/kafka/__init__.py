"""The outbox, the producer and the Kafka client of everything that publishes."""
