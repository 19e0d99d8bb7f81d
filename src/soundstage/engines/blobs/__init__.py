"""The blobs port and its engines."""
