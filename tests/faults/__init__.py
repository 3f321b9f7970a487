"""The fault matrix: what a client, its attempts and the circuit breaker see of each fault of an upstream.

Everything is real but the client: the standalone app as settings make it, and an upstream on a socket.
"""
