"""The load generator: what is asked, how, and whether the answers are whole."""
