"""The log port and its engines."""
