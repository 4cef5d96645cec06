"""Timings against peers, each with a check that both sides computed the same: `python -m benchmarks`."""
