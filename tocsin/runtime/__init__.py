"""Processes: the embedded mode, the worker and the scheduler, and construction of objects from settings."""
