"""The one place where the driver is imported; its objects are `Any` from here on."""

from __future__ import annotations

import warnings
from typing import Any

from soundstage.core.extras import library
from soundstage.engines.tables.arrow import EXTRA

catalog: Any = library("pyiceberg.catalog.sql", EXTRA)
exceptions: Any = library("pyiceberg.exceptions", EXTRA)
expressions: Any = library("pyiceberg.expressions", EXTRA)
io: Any = library("pyiceberg.io.pyarrow", EXTRA)
partitioning: Any = library("pyiceberg.partitioning", EXTRA)
schema: Any = library("pyiceberg.schema", EXTRA)
table: Any = library("pyiceberg.table", EXTRA)
transforms: Any = library("pyiceberg.transforms", EXTRA)
types: Any = library("pyiceberg.types", EXTRA)
sqlalchemy: Any = library("sqlalchemy", EXTRA)
database: Any = library("sqlalchemy.exc", EXTRA)
pool: Any = library("sqlalchemy.pool", EXTRA)
arrow: Any = library("pyarrow", EXTRA)

MODULES: tuple[Any, ...] = (exceptions, database, arrow.lib)
"""Where the exceptions of what stands below are declared."""


def declared(module: Any) -> tuple[type[Exception], ...]:
    """The classes of exceptions that a module has."""
    found = [getattr(module, name) for name in dir(module)]
    return tuple(each for each in found if isinstance(each, type) and issubclass(each, Exception))


NOTHING_DELETED = "Delete operation did not match any records"
"""What the driver warns of where a delete changes nothing, which is no fault here."""


class _Warnings:
    """The module `warnings` as the driver is to see it.

    Filters are the whole process's, and where they make errors of warnings this one would end a call that has done
    its work.
    """

    def __getattr__(self, name: str) -> Any:
        return getattr(warnings, name)

    def warn(self, message: Any, *more: Any, **named: Any) -> None:
        if str(message) != NOTHING_DELETED:
            warnings.warn(message, *more, **named)


table.warnings = _Warnings()
