"""What the faults share."""

from tests.flow.conftest import library_leftovers

__all__ = ["library_leftovers"]
