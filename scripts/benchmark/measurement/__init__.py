"""Loads on targets: what they cost, in rounds and along curves."""
