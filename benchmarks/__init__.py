"""What the gateway costs: `python -m benchmarks.forwarding --help`, and `pytest benchmarks` for the parts."""
