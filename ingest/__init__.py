"""From the wire to the Kafka topic `articles`: sources, fetching, reading, cleaning, the outbox, publishing, archives."""
