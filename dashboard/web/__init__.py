"""The server and its doors: who comes in, what a browser may load, and the line on which pages are told what is new."""
