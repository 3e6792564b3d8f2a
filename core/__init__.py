"""What every part of Tocsin shares. Knows none of them."""
