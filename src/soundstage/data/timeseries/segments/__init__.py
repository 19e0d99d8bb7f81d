"""Events of a slice in files of Parquet, sorted by series and by time from the newest back, and read as tables are.

    columns    rows of a slice as columns, the files' schema and what they say of themselves
    writing    a run of files from sorted rows; the list of its files
    reading    ranges of a run, of which footers and some row groups are kept
    layers     what a slice has in tables and in segments, as one
    walking    all that a slice has, page by page

Data on disk: blobs `timeseries/<namespace's digest>/<slice>-<attempt>/<number>.parquet` and `.../list`.
"""
