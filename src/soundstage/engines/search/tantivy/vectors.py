"""The vectors of one field: a file of rows, each a revision and its numbers, that only grows.

Rows are in the order of revisions, written and flushed before the documents that have them are committed. Which of them
are live is for the index to say: rows of documents that were replaced, deleted or never committed are found by nobody,
and go when the file is opened, once they are most of it; or before, where a revision that was never committed is given
again.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from soundstage.engines.rocks.folder import sync_folder, write_durably
from soundstage.engines.search.port import Field

Rows: TypeAlias = "npt.NDArray[np.void]"
Numbers: TypeAlias = "npt.NDArray[np.float64]"
Revisions: TypeAlias = "npt.NDArray[np.uint64]"

DEAD_MIN = 1_000
"""Fewer rows are not worth the writing."""


class Vectors:
    """Blocking, for threads: one writes, several read."""

    def __init__(self, path: Path, field: Field) -> None:
        self._path = path
        self._field = field
        self._row: np.dtype[Any] = np.dtype([("revision", "<u8"), ("vector", "<f4", (field.dimensions,))])
        self._rows: Rows = np.empty(0, self._row)

    def load(self, live: Revisions) -> None:
        """What the file has can be compared; a row that was cut off is not there, nor most that are dead."""
        if not self._path.exists():
            return
        size = self._path.stat().st_size
        if size % self._row.itemsize:
            os.truncate(self._path, size - size % self._row.itemsize)
        self._map()
        if len(self._rows) > 2 * len(live) + DEAD_MIN:
            self._keep(self._rows[np.isin(self._rows["revision"], live)])

    def append(self, rows: Sequence[tuple[int, Sequence[float]]]) -> None:
        """The rows, newer by revision than all that were committed, are on disk. Raises `OSError` and `Unavailable`."""
        made = np.array([(revision, tuple(vector)) for revision, vector in rows], self._row)
        before = int(np.searchsorted(self._rows["revision"], rows[0][0]))
        if before < len(self._rows):
            # Of a group that was never committed, whose revisions are given again. Not cut off in place: readers may
            # have it mapped.
            self._keep(self._rows[:before])
        new = not self._path.exists()
        with self._path.open("ab") as file:
            # A row that an earlier attempt left half written would put all others out of step.
            file.truncate(len(self._rows) * self._row.itemsize)
            file.write(made.tobytes())
            file.flush()
            os.fsync(file.fileno())
        if new:
            sync_folder(self._path.parent)
        self._map()

    def nearest(self, revisions: Sequence[int], vector: Sequence[float], limit: int) -> list[tuple[int, float]]:
        """Places in `revisions` of the most alike, and how alike; each of them has a row."""
        rows = self._rows
        wanted = np.asarray(revisions, np.uint64)
        places = np.searchsorted(rows["revision"], wanted)
        scores = self._scores(rows["vector"][places].astype(np.float64), np.asarray(vector, np.float32))
        best = np.argpartition(-scores, min(limit, len(scores)) - 1)[:limit] if len(scores) else np.empty(0, np.int64)
        ranked = best[np.argsort(-scores[best], kind="stable")]
        return [(int(place), float(scores[place])) for place in ranked]

    def _scores(self, kept: Numbers, asked: npt.NDArray[np.float32]) -> Numbers:
        wide = asked.astype(np.float64)
        if self._field.similarity == "euclidean":
            return 1 / (1 + ((kept - wide) ** 2).sum(axis=1))
        products = kept @ wide
        if self._field.similarity == "dot":
            return products
        return products / (np.linalg.norm(kept, axis=1) * np.linalg.norm(wide))

    def _keep(self, rows: Rows) -> None:
        """The file has these rows and no others; who reads the one that it was keeps that."""
        write_durably(self._path, rows.tobytes())
        self._map()

    def _map(self) -> None:
        empty = self._path.stat().st_size == 0
        self._rows = np.empty(0, self._row) if empty else np.memmap(self._path, self._row, "r")
