"""Every published figure is one command here: `tocsin bench NAME`."""
