"""Benchmarks: each published figure is measured by one command, `tocsin bench NAME`."""
