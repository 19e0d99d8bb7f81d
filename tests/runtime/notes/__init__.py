"""A system of the smallest kind, to run the runtime with: text by name, one record per namespace."""
