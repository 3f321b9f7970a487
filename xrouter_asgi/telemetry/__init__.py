"""Observers of a request: spans, metrics and the access log, and where they are sent."""
