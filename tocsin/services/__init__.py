"""What the dashboard, the API and the command line ask for beyond reading the store."""
