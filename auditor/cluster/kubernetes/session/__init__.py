"""One run inside a live cluster: its Leases, its pods, what changes meanwhile, and how everything goes away."""
