from __future__ import annotations

import pytest

from soundstage.core.errors import InvalidArgument
from soundstage.engines.rocks.atomic import AtomicBatch


def test_what_was_touched_is_remembered_in_order() -> None:
    batch = AtomicBatch()
    batch.touch(b"b")
    batch.touch(b"a")
    assert list(batch.keys) == [b"b", b"a"]


def test_a_key_is_touched_once() -> None:
    batch = AtomicBatch()
    batch.touch(b"a")
    with pytest.raises(InvalidArgument, match="twice") as caught:
        batch.touch(b"a")
    assert caught.value.hint == "merge the changes"


def test_those_who_asked_are_told_in_order_that_it_was_written() -> None:
    batch, told = AtomicBatch(), list[str]()
    batch.once_written(lambda: told.append("first"))
    batch.once_written(lambda: told.append("second"))
    assert told == []
    batch.was_written()
    assert told == ["first", "second"]


def test_a_new_batch_is_empty() -> None:
    assert AtomicBatch().rows.is_empty()


def test_what_is_known_at_last_is_put_there_when_nothing_more_comes() -> None:
    batch = AtomicBatch()
    batch.at_last(lambda: batch.rows.put(b"key", b"value"))
    assert batch.rows.is_empty()
    batch.complete()
    assert not batch.rows.is_empty()
