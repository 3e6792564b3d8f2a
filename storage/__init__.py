"""The store in ClickHouse: clients, schema, and one module of SQL per subject."""
