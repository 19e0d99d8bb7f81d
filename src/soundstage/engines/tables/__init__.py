"""The tables port and its engines."""
