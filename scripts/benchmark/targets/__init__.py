"""The targets of a measurement, each in separate processes."""
