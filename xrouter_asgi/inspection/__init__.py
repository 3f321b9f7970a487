"""What `xrouter check` and `xrouter explain` say: about settings, about providers, about one request."""
