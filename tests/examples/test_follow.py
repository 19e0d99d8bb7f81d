"""A copy that follows comes to what the store has, in whatever order and however often it is told."""

from __future__ import annotations

from examples.follow.follow import KEY, Copy

from soundstage import IdempotencyToken, Instant
from soundstage.data.kv import Item, ItemChange, MatchAll, Predicate
from soundstage.data.kv.api import ItemMetadata


def token(at: int) -> IdempotencyToken:
    return IdempotencyToken(Instant(at), "t")


def put(order: str, state: str, at: int) -> ItemChange:
    item = Item(key=KEY, value=state.encode(), metadata=ItemMetadata(token=token(at), size=len(state)))
    return ItemChange(cursor=f"{at}", id=order, idempotency_token=token(at), items=[item])


def delete(order: str, at: int) -> ItemChange:
    everything = Predicate(match_all=MatchAll())
    return ItemChange(cursor=f"{at}", id=order, idempotency_token=token(at), deleted=everything)


def truncation(at: int) -> ItemChange:
    return ItemChange(cursor=f"{at}", idempotency_token=token(at), truncated=True)


def told(*changes: ItemChange) -> Copy:
    copy = Copy()
    for change in changes:
        copy.apply(change)
    return copy


def test_the_later_write_counts_in_whatever_order_they_come() -> None:
    assert told(put("o", "paid", 1), put("o", "sent", 2)).states == {"o": "sent"}
    assert told(put("o", "sent", 2), put("o", "paid", 1)).states == {"o": "sent"}


def test_what_was_deleted_is_gone_though_an_earlier_write_is_told_again() -> None:
    assert told(put("o", "paid", 1), delete("o", 2), put("o", "paid", 1)).states == {}


def test_a_truncation_takes_what_was_before_it_and_leaves_what_came_after() -> None:
    assert told(put("a", "paid", 1), put("b", "paid", 3), truncation(2)).states == {"b": "paid"}


def test_what_a_truncation_took_does_not_come_back() -> None:
    assert told(truncation(2), put("a", "paid", 1)).states == {}


def test_it_goes_on_behind_what_it_was_told_last() -> None:
    assert told(put("a", "paid", 1), put("b", "paid", 2)).cursor == "2"
