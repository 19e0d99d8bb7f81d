"""Indexes of documents that are found by words, fields and vectors: one port, and its engines."""
