"""The benchmark of `scripts/bench` and `scripts/profile`: a simulated gateway, targets before it, loads, reports."""
