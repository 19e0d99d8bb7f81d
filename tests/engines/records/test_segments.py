"""Segments share all hashes out, and positions lead back to where a walk stopped."""

from __future__ import annotations

from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundstage.core.errors import InvalidArgument
from soundstage.engines.records.port import SEGMENTS_MAX
from soundstage.engines.records.segments import encode_position, parse_position, place, segment_bounds
from soundstage.testing.records.examples import EXAMPLES

ALL = segment_bounds(0, 1)
partitions = st.binary(min_size=1, max_size=9)


@pytest.mark.parametrize("segments", [1, 2, 3, 7, 1_000, SEGMENTS_MAX])
def test_segments_leave_no_gap_and_do_not_overlap(segments: int) -> None:
    bounds = [segment_bounds(segment, segments) for segment in range(segments)]
    assert (bounds[0][0], bounds[-1][1]) == (0, 1 << 64)
    assert all(before[1] == after[0] for before, after in pairwise(bounds))


@pytest.mark.parametrize("segments", [3, 7, SEGMENTS_MAX])
def test_segments_are_of_one_size_but_for_rounding(segments: int) -> None:
    sizes = {high - low for low, high in (segment_bounds(each, segments) for each in range(segments))}
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize(("segment", "segments"), [(0, 0), (1, 1), (-1, 1), (0, -1), (0, SEGMENTS_MAX + 1), (5, 5)])
def test_other_segments_are_refused_with_advice(segment: int, segments: int) -> None:
    with pytest.raises(InvalidArgument) as refused:
        segment_bounds(segment, segments)
    assert (refused.value.field, bool(refused.value.hint)) == ("segment", True)


def test_places_are_ordered_by_hash_and_the_same_in_every_release() -> None:
    assert place(b"record") == (0x5071F2D417F91BAB, b"record")
    assert 0 <= place(b"")[0] < 1 << 64


@EXAMPLES
@given(partitions, st.binary(max_size=9))
def test_a_position_gives_back_what_it_was_made_of(partition: bytes, start: bytes) -> None:
    assert parse_position(encode_position(partition, start), *ALL) == (partition, start)


@EXAMPLES
@given(partitions, st.integers(1, 9))
def test_a_position_belongs_to_one_segment(partition: bytes, segments: int) -> None:
    position = encode_position(partition, b"")
    fitting = 0
    for segment in range(segments):
        try:
            parse_position(position, *segment_bounds(segment, segments))
        except InvalidArgument:
            continue
        fitting += 1
    assert fitting == 1


@EXAMPLES
@given(st.binary(max_size=12))
def test_other_bytes_are_refused_or_are_a_position(position: bytes) -> None:
    try:
        partition, start = parse_position(position, *ALL)
    except InvalidArgument as refused:
        assert refused.field == "position"  # noqa: PT017
    else:
        assert isinstance(partition, bytes)
        assert isinstance(start, bytes)


@pytest.mark.parametrize(
    "position",
    [
        b"",
        b"text",
        encode_position(b"record", b"key")[:-1],
        encode_position(b"record", b"key") + b"\0",
        msgspec.msgpack.encode((b"record",)),
        msgspec.msgpack.encode(("record", "key")),
        msgspec.msgpack.encode({"record": b"key"}),
    ],
    ids=["empty", "text", "cut", "longer", "one part", "text parts", "map"],
)
def test_what_is_nearly_a_position_is_refused(position: bytes) -> None:
    with pytest.raises(InvalidArgument, match="position"):
        parse_position(position, *ALL)
