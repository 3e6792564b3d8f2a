"""The list of companies, and the links from text to company codes."""
