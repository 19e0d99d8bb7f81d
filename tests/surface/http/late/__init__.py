"""A system that takes its time to start."""
