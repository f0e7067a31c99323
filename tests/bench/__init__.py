"""Benchmarks: each prints what it measured, and its ratio to a peer or to a limit that is measured in the same run."""
