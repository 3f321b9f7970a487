"""The hinge: bytes become typed calls, typed replies become bytes."""
