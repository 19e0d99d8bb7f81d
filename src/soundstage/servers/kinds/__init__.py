"""One module per kind of server: its recipe, and the protocol's shortest question that a ready one answers."""
