"""What lies behind the pages: read from the store at most once for all viewers, and put together as they show it."""
