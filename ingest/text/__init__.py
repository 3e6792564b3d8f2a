"""Text processing: decoding, cleaning, dates, URLs, near duplicates, personal data."""
