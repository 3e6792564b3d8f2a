"""Text cleaning: charsets, dates, URLs, near-duplicates, personal data."""
