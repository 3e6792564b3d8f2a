"""Tocsin: an alarm bell for financial news."""

__version__ = "0.1.0"
