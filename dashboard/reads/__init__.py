"""Reads behind the pages, cached and shared by all viewers."""
