"""`xrouter keys …`."""
