"""Makes the steps that lead to a divergence few."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


def shrink(steps: Sequence[T], diverges: Callable[[Sequence[T]], bool], budget: int = 100_000) -> list[T]:
    """A shorter list for which `diverges` still holds, found by leaving out ever smaller pieces.

    `diverges(steps)` is true for the list given. Lists of `budget` steps in all are tried, so that the result need
    not be the shortest; when the budget suffices, no single step of it can be left out.
    """
    kept, size = list(steps), max(1, len(steps) // 2)
    while True:
        kept, budget, smaller = _without_pieces(kept, size, diverges, budget)
        if budget <= 0 or (size == 1 and not smaller):
            return kept
        if not smaller:
            size = max(1, size // 2)
        size = min(size, max(1, len(kept) // 2))


def _without_pieces(
    kept: list[T], size: int, diverges: Callable[[Sequence[T]], bool], budget: int
) -> tuple[list[T], int, bool]:
    """What is left after one pass, the budget left, and whether anything went. Late pieces are tried first."""
    smaller, end = False, len(kept)
    while end > 0 and budget > 0:
        start = max(0, end - size)
        candidate = kept[:start] + kept[end:]
        end = start
        if not candidate:
            continue
        budget -= len(candidate)
        if diverges(candidate):
            kept, smaller = candidate, True
    return kept, budget, smaller
