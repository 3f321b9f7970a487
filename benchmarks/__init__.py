"""What the gateway costs, and what it bears.

`python -m benchmarks.forwarding`, `.instructions`, `.trace`, `.resilience`, each with `--help`; `pytest benchmarks` for
the parts.
"""
