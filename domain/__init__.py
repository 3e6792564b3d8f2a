"""Rules of accounts, API tokens and the life of an alert. Pure: no clock, no store."""
