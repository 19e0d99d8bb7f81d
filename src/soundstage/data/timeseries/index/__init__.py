"""The index of a namespace: which events have what, across ids.

    fields      what of an event is in its document, and under which names
    events      events by their keys, from the slices
    documents   of events, put into indexes
    following   how far the feed was read that tells what was written
    building    an index that is being filled from the slices
    notes       which index is to serve, and of what it was told
    indexer     keeps the index as the slices are: from the feed, or all anew
    register    which indexes there may be, of all namespaces
    keeping     the indexes of all namespaces, and what is left of deleted ones
    queries     what is searched for, and counted, as the search port has it
    searching   pages of events, and aggregates

A document is what the slices have of its event when it is written, under a digest of the event's key: whatever is told
twice, or in another order, comes to the same. Only one process writes documents at a time; what is done late of what
another asked for undoes nothing. Reads and writes of events ask the index for nothing.

Data: topic `timeseries/index/<digest>-<engine>` of the log with the keys of events; and on the search engine indexes
`ts-<digest>-<fields>-<number>`, of which the alias `ts-<digest>` names the one that is searched. The digest is of the
namespace and its generation.
"""
