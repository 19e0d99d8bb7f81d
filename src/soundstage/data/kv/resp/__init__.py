"""A door to the key-value store for clients of Redis: RESP2 and RESP3, the commands that kv can answer truthfully.

    requests     commands out of bytes, incrementally and within bounds
    replies      replies as bytes, in either version of the protocol
    config       the keys of `[doors.NAME]`
    door         what all connections share
    connection   one connection: commands in order, replies in batches
    client       what a connection is: its names, its database, who is behind it
    space        a namespace as the commands see it: strings, hashes, expiry
    kinds        which keys are known to be strings
    commands     the table of commands
    strings, hashes, keys, expiry, scans, serving    the commands themselves
    options      arguments: numbers, expiry, flags
    globs        patterns of `MATCH`
    faults       errors as replies
    missing      what is not offered, and why

A key is a record's id. The value of a string is the record's item with the empty key; any other record is a hash, and
its items are the fields.
"""
