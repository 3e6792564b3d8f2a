"""Records, settings, errors and helpers that every package uses; imports none of them."""
