"""Figures as tables, as a picture and in the README."""
