"""Which probe pods stand for which workload pods, and with which labels."""
