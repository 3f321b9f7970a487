"""Whether the gateway keeps its promises while upstreams fail: `python -m benchmarks.resilience --help`."""
