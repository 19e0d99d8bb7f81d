"""The library that reads and writes files of Parquet, loaded when it is first needed."""

from __future__ import annotations

from typing import Any

from soundstage.core.errors import InvalidArgument
from soundstage.core.extras import library

EXTRA = "tables"


def parquet() -> Any:
    """The library. Raises `InvalidArgument` where it is not installed."""
    try:
        return library("pyarrow.parquet", EXTRA)
    except ModuleNotFoundError as error:
        raise InvalidArgument(
            "files of Parquet need a library that is not installed here", hint=f'pip install "soundstage[{EXTRA}]"'
        ) from error


def arrow() -> Any:
    """The library of columns in memory. Raises `InvalidArgument` where it is not installed."""
    parquet()
    return library("pyarrow", EXTRA)


def compute() -> Any:
    """What it can do with whole columns."""
    return library("pyarrow.compute", EXTRA)
