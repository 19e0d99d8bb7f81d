"""What changes in a namespace, kept in a log and followed from it: for all data systems.

`knobs` say whether and for how long, `topics` are where changes go, `entries` are what is there of them, `following`
tells who follows of them.
"""
