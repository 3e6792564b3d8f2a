"""Changes that people and programs make to stored state, each written to the audit log."""
