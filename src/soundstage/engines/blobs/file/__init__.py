"""Blobs as files of one folder: durable, embedded, with one owner process.

    blobs = FileBlobs(folder, FileOptions(), environment)

In the folder: `OWNER` (the lock, naming the owner), `FORMAT`, `staging/` for what is being written, and
`objects/ab/cdef…` for what is there, named by the sha256 of its key; in a folder of the layout `plain` also `files/`,
where other programs find the blobs by their keys.
"""

from __future__ import annotations

from soundstage.engines.blobs.file.engine import FileBlobs, FileOptions

__all__ = ["FileBlobs", "FileOptions"]
