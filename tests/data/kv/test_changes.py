"""What is kept of a write, and told of it."""

from __future__ import annotations

import pytest

from soundstage.core import version
from soundstage.core.errors import DataLoss, TooLarge
from soundstage.data.changes.entries import CALL_BYTES, ENTRY_BYTES
from soundstage.data.kv.api import ItemChange, MatchAll, MatchKeys, MatchRange, Predicate
from soundstage.data.kv.changes import entries_of, entry_of_truncation, messages_of
from soundstage.data.kv.items import metadata_of
from soundstage.data.kv.manifest import Manifest
from soundstage.engines.log.arrivals import size_of
from soundstage.engines.log.port import CALL_MAX_BYTES, ENTRY_MAX_BYTES, STAMP, Entry, Stored
from soundstage.engines.records.port import Batch, RangeDelete


def put(value: bytes = b"v", time_us: int = 7, **more: object) -> bytes:
    return version.put(time_us, "t", value, **more)  # type: ignore[arg-type]


def told(batch: Batch, headers: tuple[tuple[str, bytes], ...] = ()) -> list[ItemChange]:
    entries = entries_of(b"ada", batch)
    stored = [Stored(0, 0, each.key, each.value, headers) for each in entries]
    return [message for each in stored for message in messages_of(each)]


def test_a_put_is_told_as_it_would_be_read() -> None:
    (change,) = told(Batch(cells=[(b"k", put(expires_us=9)), (b"l", put(b""))]))
    assert (change.id, change.idempotency_token.generation_time.us, change.idempotency_token.token) == ("ada", 7, "t")
    assert change.items is not None
    assert [(each.key, each.value) for each in change.items] == [(b"k", b"v"), (b"l", b"")]
    assert change.items[0].metadata.expires_at is not None
    assert change.items[0].metadata.expires_at.us == 9
    assert change.deleted is None


def test_markers_are_told_as_the_keys_that_were_deleted() -> None:
    (change,) = told(Batch(cells=[(key, version.delete(7, "t")) for key in (b"k", b"l")]))
    assert change.deleted == Predicate(match_keys=MatchKeys(keys=[b"k", b"l"]))
    assert change.items is None


def test_a_range_and_a_record_are_told_as_such() -> None:
    cell = version.delete(7, "t")
    (deleted,) = told(Batch(ranges=[RangeDelete(b"a", None, cell)]))
    assert deleted.deleted == Predicate(match_range=MatchRange(start=b"a"))
    (gone,) = told(Batch(partition=cell))
    assert gone.deleted == Predicate(match_all=MatchAll())


def test_a_truncation_is_of_no_record() -> None:
    entry = entry_of_truncation(version.delete(7, "t"))
    (change,) = messages_of(Stored(0, 0, None, entry.value))
    assert (change.id, change.truncated, change.idempotency_token.generation_time.us) == ("", True, 7)


def test_the_version_is_that_with_which_the_write_was_stamped() -> None:
    header = (STAMP, (1_000).to_bytes(8, "big"))
    (change,) = told(Batch(cells=[(b"k", put())]), (header,))
    assert change.idempotency_token.generation_time.us == 1_000
    assert change.items is not None
    assert change.items[0].metadata.token == change.idempotency_token


def test_a_value_too_large_for_an_entry_is_left_out_with_its_size() -> None:
    (change,) = told(Batch(cells=[(b"k", put(bytes(ENTRY_BYTES + 1))), (b"l", put())]))
    assert change.items is not None
    assert [(each.value, each.metadata.size) for each in change.items] == [(None, ENTRY_BYTES + 1), (b"v", 1)]


def test_a_value_in_chunks_is_left_out_with_its_size() -> None:
    metadata = metadata_of(Manifest(b"d" * 16, 5_000_000, 262_144, b"u" * 16))
    (change,) = told(Batch(cells=[(b"k", put(b"", metadata=metadata))]))
    assert change.items is not None
    assert (change.items[0].value, change.items[0].metadata.size) == (None, 5_000_000)


def test_a_write_of_many_items_is_told_in_several_messages_in_order() -> None:
    cells = [(b"%05d" % number, put(bytes(1_000))) for number in range(2_000)]
    changes = told(Batch(cells=cells))
    assert len(changes) > 2
    assert [item.key for change in changes for item in change.items or ()] == [key for key, _ in cells]
    assert all(len(item.value or b"") == 1_000 for change in changes for item in change.items or ())


@pytest.mark.parametrize(
    ("count", "key", "value"),
    [(5_000, 20, 800), (1_000, 4_000, 0), (7, 8, 520_000), (1, 4_096, 1 << 22), (5_000, 700, 100), (900, 2_000, 2_500)],
)
def test_whatever_one_call_writes_fits_one_call_of_the_log(count: int, key: int, value: int) -> None:
    cells = [(b"%08d" % number + bytes(max(0, key - 8)), put(bytes(value))) for number in range(count)]
    entries = entries_of(b"i" * 1_024, Batch(cells=cells))
    assert max(map(size_of, entries)) <= ENTRY_MAX_BYTES - 64
    assert sum(map(size_of, entries)) <= CALL_MAX_BYTES - 64 * len(entries)


def test_more_keys_than_a_call_of_the_log_takes_are_refused() -> None:
    cells = [(b"%08d" % number + bytes(4_000), put(b"")) for number in range(CALL_BYTES // 4_000)]
    with pytest.raises(TooLarge) as raised:
        entries_of(b"ada", Batch(cells=cells))
    assert raised.value.field == "items"


def test_every_entry_of_a_write_is_under_its_record() -> None:
    cells = [(b"%05d" % number, put(bytes(1_000))) for number in range(2_000)]
    assert {each.key for each in entries_of(b"ada", Batch(cells=cells))} == {b"ada"}


@pytest.mark.parametrize("value", [b"", b"\xc1", None, b"\x92\x01\x02"])
def test_an_entry_that_is_none_is_a_loss(value: bytes | None) -> None:
    with pytest.raises(DataLoss):
        messages_of(Stored(0, 0, b"ada", Entry(value=value).value))
