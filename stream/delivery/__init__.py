"""From an alert to a delivered webhook or mail."""
