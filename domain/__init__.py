"""Accounts, API tokens and the lifecycle of alerts as pure functions and records: no clock, no store."""
