"""What a namespace shows, as a file of Parquet that other programs read, and rows of such files as items.

`rows` are items in columns, `columns` columns as items; `exporting` and `importing`
are the jobs of the system `kv`, each of which goes on from its last checkpoint.
"""
