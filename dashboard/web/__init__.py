"""The web server of the dashboard: routes, authentication, permissions, static files, and the stream of changes to open pages."""
