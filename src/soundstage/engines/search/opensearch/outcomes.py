"""What became of the actions of a call, in the port's words."""

from __future__ import annotations

from collections.abc import Sequence

from soundstage.engines.search.opensearch import failures
from soundstage.engines.search.opensearch.answers import Bulk, Item, Made
from soundstage.engines.search.port import Outcome, Status

BARRED = Outcome(Status.CONFLICT)
"""Of an action whose condition cannot hold."""

_APPLIED = Status.APPLIED


def outcomes_of(said: Bulk, sent: int) -> list[Outcome]:
    """The outcomes of so many actions. Raises where no outcome is one action's own, and for what is no answer."""
    items = said.items
    if len(items) != sent:
        raise failures.no_answer(f"it is of {len(items)} actions, not of {sent}")
    if _made(items[0]).status == 429:
        _check_room(items)
    return [
        Outcome(_APPLIED, f"{made.seq_no}.{made.primary_term}")
        if (made := item.index) is not None and 200 <= made.status <= 201
        else _outcome(item)
        for item in items
    ]


def _made(item: Item) -> Made:
    made = item.index or item.create or item.delete
    if made is None:
        raise failures.no_answer("it has an action that was not asked for")
    return made


def _check_room(items: Sequence[Item]) -> None:
    """Raises `Exhausted` when no action was made because the disk is full, which is no affair of each of them."""
    causes = [failures.cause_in(_made(each).error or {}) for each in items]
    if all(map(failures.is_full, causes)):
        raise failures.meaning(429, causes[0])


def _outcome(item: Item) -> Outcome:
    made = _made(item)
    if made.status == 201 or made.status == 200:
        return Outcome(_APPLIED) if item.delete else Outcome(_APPLIED, f"{made.seq_no}.{made.primary_term}")
    if made.status == 409:
        return Outcome(Status.CONFLICT)
    if made.status == 404 and not made.error:
        return Outcome(Status.MISSING)
    cause = failures.cause_in(made.error or {})
    if cause.type == "index_not_found_exception":
        raise failures.meaning(made.status, cause)
    return Outcome(Status.REJECTED, reason=cause.shown)
