"""Services behind the dashboard, the API and the command line."""
