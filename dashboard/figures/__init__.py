"""Charts and small pictures, in the colours of both themes. Pure."""
