"""Outgoing connections: which addresses may be reached, deadlines, and Retry-After."""
