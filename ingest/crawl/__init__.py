"""The crawler: feeds and pages over HTTP to articles."""
