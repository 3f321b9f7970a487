"""The operator's API: endpoints by path, each with what its document says of it."""
