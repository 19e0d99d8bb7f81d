"""A small table to try an engine with. Imported where that is done, for it needs Arrow."""

from __future__ import annotations

from soundstage.engines.tables.arrow import pa
from soundstage.engines.tables.port import ArrowStream, Column, TableSpec


def sample(name: str) -> tuple[TableSpec, ArrowStream]:
    """A table of that name, and its one row."""
    columns = (Column(name="number", type="int64"), Column(name="word", type="text"))
    return TableSpec(name=name, columns=columns), pa.table({"number": [1], "word": ["soundstage"]})
