"""How much the replies of all connections of a door hold: what is read for them, and what was not taken yet."""

from __future__ import annotations

from soundstage.data.kv.resp.faults import CommandError

SMALL_BYTES = 16 << 10
"""Up to so much of one value is not counted: what there can be of it is bounded by connections."""


class Gathered:
    """Bytes that the replies of all connections hold, and how many they may."""

    __slots__ = ("most", "size")

    def __init__(self, most: int) -> None:
        self.most: int = most
        self.size: int = 0


class Share:
    """What one connection holds of it."""

    __slots__ = ("_whole", "size")

    def __init__(self, whole: Gathered) -> None:
        self.size: int = 0
        self._whole = whole

    def take(self, more: int) -> None:
        """`more` bytes are counted too. Raises `CommandError`, and counts nothing, where all hold too much."""
        whole = self._whole
        if whole.size + more > whole.most:
            raise CommandError(
                f"EXHAUSTED replies that are made, or were not taken yet, hold as much as max_replies allows all "
                f"connections, {whole.most} bytes; retry, ask for less, and read what was answered"
            )
        whole.size += more
        self.size += more

    def take_value(self, value: bytes | None) -> None:
        """A value that was read is counted too, unless it is small."""
        if value is not None and len(value) > SMALL_BYTES:
            self.take(len(value))

    def keep(self, size: int) -> None:
        """The connection holds so much, whatever was counted before."""
        self._whole.size += size - self.size
        self.size = size
