"""Charts and sparklines in the colours of both themes. Pure."""
