"""Processes: the embedded mode, the worker, the scheduler, and how settings become objects."""
