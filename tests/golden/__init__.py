"""What clients and upstreams see of the router, message by message, as files that are compared byte by byte.

`cases/` holds one file for each case. `python -m tests.golden` records them anew: do so only for a change that is meant
to be seen, and read the difference before you commit it.
"""
