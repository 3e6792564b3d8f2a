"""One module of SQL per subject."""
