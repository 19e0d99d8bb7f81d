"""Things in a row, cut into portions of bounded size."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def portions(things: Iterable[T], weight: Callable[[T], int], most: int, count: int | None = None) -> Iterator[list[T]]:
    """`things` in their order, as many at a time as weigh `most` together and are no more than `count`.

    One that weighs more is a portion of its own. None is empty: of nothing there are no portions.
    """
    portion: list[T] = []
    total = 0
    for thing in things:
        more = weight(thing)
        if portion and (total + more > most or len(portion) == count):
            yield portion
            portion, total = [], 0
        portion.append(thing)
        total += more
    if portion:
        yield portion
