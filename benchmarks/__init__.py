"""What the gateway costs, and what it bears.

`python -m benchmarks.forwarding --help`, `python -m benchmarks.resilience --help`; `pytest benchmarks` for the parts.
"""
