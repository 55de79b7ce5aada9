"""The simulated gateway: an Agentick on the wire."""
