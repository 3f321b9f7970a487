"""The command line: `xrouter serve | demo | check | explain | keys`."""
