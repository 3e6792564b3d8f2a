"""Watchlists: parsing, matching, backfill."""
