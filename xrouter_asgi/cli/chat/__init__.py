"""`xrouter chat`: talk to a model, at a running gateway or in this process."""
