"""Sets as entries of the log, and made of them again."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soundstage.data.writeahead import pieces
from soundstage.data.writeahead.pieces import (
    OPEN_MAX,
    OPEN_US,
    PIECE_BYTES,
    Assembly,
    Marker,
    Piece,
    Whole,
    cut,
    entries_of,
)
from soundstage.data.writeahead.sets import SET_MAX_BYTES, checksum_of
from soundstage.engines.log.port import CALL_MAX_BYTES, ENTRY_MAX_BYTES, Entry, Stored

SET = bytes(range(256)) * 10_000


def stored(entries: Sequence[Entry], at: int = 0, time_us: int = 1) -> list[Stored]:
    return [Stored(at + index, time_us, entry.key, entry.value) for index, entry in enumerate(entries)]


def fed(assembly: Assembly, entries: Sequence[Stored]) -> list[Whole]:
    return [whole for entry in entries if (whole := assembly.feed(entry)) is not None]


def entries(encoded: bytes = SET, name: str = "s", append: int = 1) -> list[Entry]:
    return entries_of(name, encoded, b"digest", append)


@pytest.mark.parametrize("size", [0, 1, PIECE_BYTES, PIECE_BYTES + 1, SET_MAX_BYTES])
def test_a_set_is_made_of_its_pieces_again(size: int) -> None:
    found = fed(Assembly(), stored(entries(bytes(size))))
    assert found == [Whole("s", b"digest", bytes(size), 0)]


@pytest.mark.parametrize("size", [1, PIECE_BYTES, SET_MAX_BYTES])
def test_the_pieces_of_a_set_are_what_the_log_takes(size: int) -> None:
    made = entries(bytes(size))
    assert max(len(entry.value or b"") + len(entry.key or b"") for entry in made) <= ENTRY_MAX_BYTES
    assert sum(len(entry.value or b"") + 32 for entry in made) <= CALL_MAX_BYTES


def test_all_entries_of_a_set_have_its_name_as_their_key() -> None:
    assert {entry.key for entry in entries()} == {b"s"}


def test_the_marker_comes_last() -> None:
    made = [msgspec.msgpack.decode(entry.value or b"", type=Piece | Marker) for entry in entries()]
    assert [isinstance(each, Marker) for each in made] == [False] * (len(made) - 1) + [True]


def test_a_set_without_its_marker_is_none() -> None:
    assert fed(Assembly(), stored(entries()[:-1])) == []


@pytest.mark.parametrize("missing", range(3))
def test_a_set_without_one_of_its_pieces_is_none(missing: int) -> None:
    made = stored(entries())
    assert len(made) == 4
    assembly = Assembly()
    assert fed(assembly, made[:missing] + made[missing + 1 :]) == []
    assert assembly.dropped >= 1


def test_a_set_that_was_cut_off_is_complete_by_a_second_append() -> None:
    whole = stored(entries(append=2), 3)
    assert fed(Assembly(), stored(entries(append=1)[:-1]) + whole) == [Whole("s", b"digest", SET, 3)]


def test_a_set_that_is_in_the_log_twice_is_found_twice() -> None:
    assert len(fed(Assembly(), stored(entries(append=1)) + stored(entries(append=2), 4))) == 2


@settings(max_examples=30)
@given(st.data())
def test_sets_may_lie_between_one_another(data: st.DataObject) -> None:
    lanes = [entries(f"set {name}".encode() * 200_000, str(name), name) for name in range(3)]
    mixed: list[Entry] = []
    while any(lanes):
        mixed.append(data.draw(st.sampled_from([lane for lane in lanes if lane])).pop(0))
    assert sorted(each.mutation_id for each in fed(Assembly(), stored(mixed))) == ["0", "1", "2"]


def test_a_reader_begins_again_at_the_first_set_that_is_not_complete() -> None:
    assembly = Assembly()
    fed(assembly, stored(entries()[:2], 5) + stored(entries(b"x", "other"), 7))
    assert assembly.start(9) == 5
    fed(assembly, stored(entries()[2:], 9))
    assert assembly.start(11) == 11


def test_a_damaged_set_is_told_apart() -> None:
    made = entries(b"content")
    made[0] = Entry(msgspec.msgpack.encode(Piece(1, 0, b"contents")), b"s")
    assert [whole.intact for whole in fed(Assembly(), stored(made))] == [False]


@pytest.mark.parametrize("value", [None, b"", b"\xc1", b"text", msgspec.msgpack.encode(["q", 1])])
def test_what_is_no_piece_is_passed_over(value: bytes | None) -> None:
    assembly = Assembly()
    assert fed(assembly, [Stored(0, 1, b"s", value), *stored(entries(b"x"), 1)]) != []
    assert assembly.dropped == 1


def test_what_was_begun_long_ago_is_dropped() -> None:
    assembly = Assembly()
    fed(assembly, stored(entries()[:-1]))
    assembly.forget(1 + OPEN_US)
    assert (assembly.start(9), assembly.dropped) == (0, 0)
    assembly.forget(2 + OPEN_US)
    assert (assembly.start(9), assembly.dropped) == (9, 1)


def test_only_so_many_may_be_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "OPEN_MAX", 2)
    assembly = Assembly()
    for name in range(4):
        fed(assembly, stored(entries(name=str(name))[:1], name))
    assembly.forget(1)
    assert (assembly.start(9), assembly.dropped) == (2, 2)
    assert OPEN_MAX >= 100


def test_a_part_is_no_larger_than_a_row() -> None:
    parts = cut(SET)
    assert b"".join(parts) == SET
    assert max(map(len, parts)) == PIECE_BYTES


def test_the_checksum_is_of_the_whole_set() -> None:
    marker = msgspec.msgpack.decode(entries()[-1].value or b"", type=Piece | Marker)
    assert isinstance(marker, Marker)
    assert marker.checksum == checksum_of(SET)
