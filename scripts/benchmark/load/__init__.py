"""The load generator: sends requests, and checks that the answers are complete."""
