"""Programs, servers and data that tests of several folders share."""
