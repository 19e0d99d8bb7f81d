"""How large the pages of a column are unpacked, as their headers say: a library unpacks each of them at once.

A header is a struct of Thrift's compact protocol, and stands before each page: its fields 2 and 3 are how many bytes
the page has unpacked, and as it is in the file. What else it has is passed over.
"""

from __future__ import annotations

UNPACKED, PACKED = 2, 3

DEPTH_MAX = 8
"""Structs in structs."""

_TRUE, _FALSE, _BYTE, _INTEGERS, _DOUBLE, _BINARY, _LISTS, _STRUCT = 1, 2, 3, (4, 5, 6), 7, 8, (9, 10), 12
_DOUBLE_BYTES = 8


class Unreadable(ValueError):
    """These are no headers and pages of Parquet."""


def largest_page(data: bytes) -> int:
    """The most bytes that a page of the column chunk `data` has unpacked. Raises `Unreadable`."""
    at = largest = 0
    while at < len(data):
        try:
            sizes: dict[int, int] = {}
            at = _struct(data, at, sizes, DEPTH_MAX)
            unpacked, packed = sizes[UNPACKED], sizes[PACKED]
        except (IndexError, KeyError):
            raise Unreadable("a page has no header") from None
        if unpacked < 0 or packed < 0:
            raise Unreadable("a page has a negative size")
        largest, at = max(largest, unpacked), at + packed
    return largest


def _struct(data: bytes, at: int, numbers: dict[int, int], depth: int) -> int:
    """Where the struct ends; its whole numbers are put into `numbers`, by their fields."""
    if not depth:
        raise Unreadable("a page has a header of no known shape")
    field = 0
    while data[at]:
        kind, delta = data[at] & 15, data[at] >> 4
        at += 1
        if delta:
            field += delta
        else:
            field, at = _integer(data, at)
        if kind in _INTEGERS:
            numbers[field], at = _integer(data, at)
        elif kind not in (_TRUE, _FALSE):
            at = _passed(data, at, kind, depth)
    return at + 1


def _passed(data: bytes, at: int, kind: int, depth: int) -> int:
    """Where a value of that kind ends."""
    if kind == _BYTE:
        return at + 1
    if kind in _INTEGERS:
        return _integer(data, at)[1]
    if kind == _DOUBLE:
        return at + _DOUBLE_BYTES
    if kind == _BINARY:
        size, at = _unsigned(data, at)
        return at + size
    if kind == _STRUCT:
        return _struct(data, at, {}, depth - 1)
    if kind in _LISTS:
        count, of = data[at] >> 4, data[at] & 15
        at += 1
        if count == 15:
            count, at = _unsigned(data, at)
        if count > len(data):
            raise Unreadable("a page has a header of no known shape")
        for _ in range(count):
            at = at + 1 if of in (_TRUE, _FALSE) else _passed(data, at, of, depth)
        return at
    raise Unreadable("a page has a header of no known shape")


def _unsigned(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = data[at]
        at += 1
        number |= (byte & 127) << shift
        if byte < 128:
            return number, at
        shift += 7
        if shift > 63:
            raise Unreadable("a page has a header of no known shape")


def _integer(data: bytes, at: int) -> tuple[int, int]:
    number, at = _unsigned(data, at)
    return (number >> 1) ^ -(number & 1), at
