"""Slices that are not written to any more are rewritten into segments, which cost less and which other tools read.

    sorting      rows of any number in order, with a bounded part of them in memory
    compactor    the steps from a table to segments, each of which may be the last for a while
    rounds       what a process does for all its namespaces
    stores       which namespaces have segments, so that those of deleted ones go

Data on disk: while a run of segments is being made, blobs `.../sorted/<number>` beside its files; see also `stores`.
"""
