"""Makes the steps that lead to a divergence few."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


def shrink(steps: Sequence[T], diverges: Callable[[Sequence[T]], bool], attempts: int = 300) -> list[T]:
    """A shorter list for which `diverges` still holds, found by leaving out ever smaller pieces.

    `diverges(steps)` is true for the list given. At most `attempts` lists are tried, so the result need not
    be minimal.
    """
    kept = list(steps)
    size = max(1, len(kept) // 2)
    while attempts > 0:
        position, smaller = 0, False
        while position < len(kept) and attempts > 0:
            candidate = kept[:position] + kept[position + size :]
            attempts -= 1
            if candidate and diverges(candidate):
                kept, smaller = candidate, True
            else:
                position += size
        if size == 1 and not smaller:
            break
        if not smaller:
            size = max(1, size // 2)
    return kept
