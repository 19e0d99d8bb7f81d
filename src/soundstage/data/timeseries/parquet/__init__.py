"""Events of an interval as a file of Parquet that other programs read, and rows of such files as events.

`rows` are events in columns, `columns` columns as events; `walking` goes over all events of slices, or those of some
ids; `exporting` and `importing` are the jobs, each of which goes on from its last checkpoint.
"""
