"""What several ports on one database write together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rocksdict import WriteBatch

from soundstage.core.errors import InvalidArgument


class AtomicBatch:
    """Rows of any number of ports, which are all there or none of them; see `Database.atomically`.

    A port puts rows into `rows`, with the handle of their column family; names what they belong to with `touch`,
    so that its readers wait for the flush; and learns by `once_written` that they are there. What is known only
    when nothing more comes it puts there by `at_last`.

    `keys` has what was touched, each with what its port knows of it from the batch on; writes that come in one moment
    share a batch, see `Database.together`, and look there first. `raised` is what the records port notes of them.
    """

    __slots__ = ("_last", "_then", "keys", "raised", "rows")

    def __init__(self) -> None:
        self.rows: WriteBatch = WriteBatch(raw_mode=True)
        self.keys: dict[bytes, Any] = {}
        self.raised: Any = None
        self._last: list[Callable[[], None]] = []
        self._then: list[Callable[[], None]] = []

    def touch(self, key: bytes) -> None:
        """Whoever is answered because of `key` is answered after the flush. `InvalidArgument` the second time.

        Ports begin their keys alike and unlike each other. What a port resolves against what is stored is true only
        as long as nothing else in the batch changes it: hence once.
        """
        if key in self.keys:
            raise InvalidArgument("one batch changes a partition twice", field="batch", hint="merge the changes")
        self.keys[key] = None

    def at_last(self, then: Callable[[], None]) -> None:
        """`then` is called right before the rows are written, to put there what the others have come to."""
        self._last.append(then)

    def complete(self) -> None:
        """Nothing more comes; `rows` has all that is to be written."""
        for then in self._last:
            then()

    def once_written(self, then: Callable[[], None]) -> None:
        """`then` is called right after the rows were written, before anything else runs, and must not raise."""
        self._then.append(then)

    def was_written(self) -> None:
        """Tell those who asked."""
        for then in self._then:
            then()
