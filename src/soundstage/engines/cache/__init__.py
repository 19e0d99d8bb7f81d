"""The cache port and its engines."""
