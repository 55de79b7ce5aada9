"""The simulated gateway, which speaks Agentick's protocol."""
