"""One migration a file, run by `Database.migrate`. There are no downgrades: they would delete the audit."""
