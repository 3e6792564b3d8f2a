"""Publishing to Kafka: outbox, publisher, producer and admin client."""
