"""How fast planstream is on this machine: `python -m benchmarks`."""
