"""One migration a file. There are no downgrades: they would delete what was spent."""
