"""What is checked of a batch, what is found on the way, and what a stamp changes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundstage.core import version
from soundstage.core.errors import InvalidArgument, TooLarge
from soundstage.engines.records.batches import check_batch, check_partition, restamped, versions
from soundstage.engines.records.port import BATCH_MAX_BYTES, BATCH_MAX_ITEMS, KEY_MAX_BYTES, Batch, RangeDelete, Row
from soundstage.testing.records.examples import EXAMPLES

GONE = version.delete(5, "t")


def put(key: bytes, value: bytes = b"", metadata: bytes = b"", time_us: int = 1) -> Row:
    return key, version.put(time_us, "t", value, metadata=metadata)


def rows_of(count: int) -> list[Row]:
    return [put(b"%d" % number) for number in range(count)]


def test_versions_are_those_of_items_ranges_and_the_record() -> None:
    batch = Batch(cells=[put(b"a"), (b"b", GONE)], ranges=[RangeDelete(b"", None, GONE)], partition=GONE)
    assert list(versions(batch)) == [put(b"a")[1], GONE, GONE, GONE]


def test_a_stamp_changes_the_time_of_everything_and_nothing_else() -> None:
    batch = Batch(cells=[put(b"a", b"v"), (b"b", GONE)], ranges=[RangeDelete(b"x", b"y", GONE)], partition=GONE)
    stamped = restamped(batch, 9)
    assert {version.time_us(cell) for cell in versions(stamped)} == {9}
    assert restamped(stamped, 5) == restamped(batch, 5)
    assert [key for key, _ in stamped.cells] == [b"a", b"b"]
    assert stamped.ranges[0][:2] == (b"x", b"y")


def test_a_stamp_leaves_a_batch_without_a_deleted_record_without_one() -> None:
    assert restamped(Batch(cells=[put(b"a")]), 9).partition is None


@pytest.mark.parametrize("size", [1, 1_024])
def test_a_name_of_a_record_may_have_1_to_1024_bytes(size: int) -> None:
    check_partition(b"p" * size)


@pytest.mark.parametrize("size", [0, 1_025])
def test_other_names_are_refused_by_their_length(size: int) -> None:
    with pytest.raises(InvalidArgument, match=str(size)) as refused:
        check_partition(b"p" * size)
    assert refused.value.field == "id"


@pytest.mark.parametrize(
    "batch",
    [
        Batch(cells=[put(b"")]),
        Batch(cells=[put(b"k" * KEY_MAX_BYTES)]),
        Batch(cells=rows_of(BATCH_MAX_ITEMS)),
        Batch(cells=[put(b"k", bytes(BATCH_MAX_BYTES - 1))]),
        Batch(cells=[put(b"k", bytes(1), bytes(BATCH_MAX_BYTES - 2))]),
        Batch(ranges=[RangeDelete(b"k" * (KEY_MAX_BYTES + 1), None, GONE)]),
        Batch(partition=GONE),
    ],
    ids=["empty key", "longest key", "most items", "most bytes", "most metadata", "longest bound", "record"],
)
def test_a_batch_within_the_limits_is_taken(batch: Batch) -> None:
    assert check_batch(batch).greatest == max(versions(batch))


@pytest.mark.parametrize(
    ("batch", "kind", "field"),
    [
        (Batch(), InvalidArgument, "items"),
        (Batch(cells=[put(b"k" * (KEY_MAX_BYTES + 1))]), InvalidArgument, "items"),
        (Batch(cells=[put(b"a"), put(b"b"), put(b"a")]), InvalidArgument, "items"),
        (Batch(cells=[put(b"a"), (b"a", GONE)]), InvalidArgument, "items"),
        (Batch(cells=rows_of(BATCH_MAX_ITEMS + 1)), TooLarge, "items"),
        (Batch(cells=rows_of(BATCH_MAX_ITEMS), ranges=[RangeDelete(b"", None, GONE)]), TooLarge, "items"),
        (Batch(cells=[put(b"k", bytes(BATCH_MAX_BYTES))]), TooLarge, "items"),
        (Batch(cells=[put(b"k", b"", bytes(BATCH_MAX_BYTES))]), TooLarge, "items"),
        (Batch(ranges=[RangeDelete(b"k" * (KEY_MAX_BYTES + 2), None, GONE)]), InvalidArgument, "ranges"),
        (Batch(ranges=[RangeDelete(b"", b"k" * (KEY_MAX_BYTES + 2), GONE)]), InvalidArgument, "ranges"),
        (Batch(ranges=[RangeDelete(b"k" * 4_096, b"l" * 4_096, GONE)] * 600), TooLarge, "items"),
    ],
    ids=[
        "nothing", "long key", "key twice", "key put and deleted", "items", "items and ranges", "value", "metadata",
        "long start", "long end", "bytes of bounds",
    ],
)  # fmt: skip
def test_a_batch_over_a_limit_is_refused(batch: Batch, kind: type[Exception], field: str) -> None:
    with pytest.raises(kind) as refused:
        check_batch(batch)
    assert getattr(refused.value, "field") == field  # noqa: B009


def test_many_keys_are_each_checked_for_their_length() -> None:
    with pytest.raises(InvalidArgument, match="4097"):
        check_batch(Batch(cells=[*rows_of(900), put(b"k" * (KEY_MAX_BYTES + 1))]))


def test_many_short_keys_are_longer_than_one_may_be() -> None:
    assert len(check_batch(Batch(cells=rows_of(2_000))).keys) == 2_000


def test_what_cells_add_does_not_count_at_the_limit() -> None:
    rows = [(b"%04d" % number, version.put(1, "t" * 64, bytes(4_190))) for number in range(1_000)]
    assert sum(len(key) + len(cell) for key, cell in rows) > BATCH_MAX_BYTES
    check_batch(Batch(cells=rows))


cells = st.builds(version.put, st.integers(0, 9), st.sampled_from(["a", "b"]), st.binary(max_size=3)) | st.builds(
    version.delete, st.integers(0, 9), st.sampled_from(["a", "b"])
)
deletes = st.builds(version.delete, st.integers(0, 9), st.sampled_from(["a", "b"]))


@EXAMPLES
@given(
    st.dictionaries(st.binary(max_size=2), cells, min_size=1, max_size=5),
    st.lists(st.builds(RangeDelete, st.binary(max_size=2), st.none() | st.binary(max_size=2), deletes), max_size=3),
    st.none() | deletes,
)
def test_the_survey_says_what_is_in_the_batch(
    items: dict[bytes, bytes], ranges: list[RangeDelete], partition: bytes | None
) -> None:
    batch = Batch(cells=list(items.items()), ranges=ranges, partition=partition)
    found = check_batch(batch)
    assert (found.keys, found.cells) == (list(items), list(items.values()))
    assert (found.least, found.greatest) == (min(versions(batch)), max(versions(batch)))
    bounds_size = sum(len(start) + len(end or b"") for start, end, _ in ranges)
    assert found.size == sum(len(key) + len(cell) for key, cell in items.items()) + bounds_size
