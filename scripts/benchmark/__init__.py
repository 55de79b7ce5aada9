"""What `scripts/bench` and `scripts/profile` run: a simulated gateway, things in front of it, loads, figures."""
