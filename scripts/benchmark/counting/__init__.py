"""`scripts/bench --count`: the cost of a request in instructions, system calls and Python calls."""
