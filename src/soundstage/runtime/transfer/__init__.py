"""All that a namespace holds, taken to a file and back, or to another engine.

`reading` goes through what is kept, page by page, and adds it up; `format` is the file; `exporting`, `importing`
and `copying` are the jobs of the system `namespaces`, each of which goes on from its last checkpoint.
"""
