"""ClickHouse: the client, the schema, and one module of SQL per subject."""
