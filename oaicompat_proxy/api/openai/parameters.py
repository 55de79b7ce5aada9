"""How the parameters of a request to OpenAI's APIs travel to the agent."""

METADATA_KEY = "openai"
"""The key of the parameters in the metadata of the agent's message."""
