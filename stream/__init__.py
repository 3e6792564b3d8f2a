"""From `articles` to a delivered alert."""
