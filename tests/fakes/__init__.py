"""Upstreams made for tests: real sockets on 127.0.0.1, answers that can be foretold."""
