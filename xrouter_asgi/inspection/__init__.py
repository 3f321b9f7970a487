"""What `xrouter check` and `xrouter explain` say."""
