"""The place of an OpenAI request's parameters in the message to the agent."""

METADATA_KEY = "openai"
"""The key of the parameters in the metadata of the agent's message."""
