"""Sizes in bytes."""

from __future__ import annotations

from soundstage.core.errors import InvalidArgument
from soundstage.core.quantity import parse_quantity

_UNITS = {
    "": 1,
    "B": 1,
    "kB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
    "TiB": 2**40,
}
_WRITTEN_UNITS = [(unit, _UNITS[unit]) for unit in ("TiB", "GiB", "MiB", "KiB")]


class Size(int):
    """A number of bytes. On the wire: the integer; in configuration also text such as `"4MiB"`."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Size:
        """The size that `text` names: a number, then nothing, B, kB MB GB TB or KiB MiB GiB TiB.

        Decimals are read as long as whole bytes come out. Raises `InvalidArgument` for anything else.
        """
        size = parse_quantity(text, _UNITS, "size", "4MiB")
        if size < 0:
            raise InvalidArgument(f"{text!r} is negative, which no size is")
        return cls(size)

    def __str__(self) -> str:
        """The number of the largest binary unit that is exact, else of bytes."""
        for unit, size in _WRITTEN_UNITS:
            if self and self % size == 0:
                return f"{self // size}{unit}"
        return f"{int(self)}B"

    def __repr__(self) -> str:
        return f"Size({int(self)})"


def about(size: float) -> str:
    """A number of bytes for people, to three digits."""
    for unit, step in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if size >= step:
            return f"{size / step:,.3g} {unit}"
    return f"{round(size)} bytes"
