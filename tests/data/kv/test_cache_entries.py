"""Heads and answers: which answers count, and what they hold of a writer's own."""

from __future__ import annotations

import pytest

from soundstage.core import version
from soundstage.data.kv.cache_entries import (
    CLOSED_US,
    SEEN_MAX,
    WHOLE,
    WRITERS_MAX,
    Answer,
    Head,
    Writer,
    decode_answer,
    decode_head,
    digest,
    encode_answer,
    encode_head,
    head_key,
    keys_of,
    points,
)
from soundstage.engines.cache.port import KEY_MAX_BYTES
from soundstage.engines.records.port import IN_FLIGHT_MAX_US, Stamp

NOW = 1_000_000_000
LATE = 700_000_000
ME, OTHER = Writer(b"me", NOW + CLOSED_US), Writer(b"other", NOW + CLOSED_US)
OWN = Stamp(NOW, "own")
LATER = Stamp(NOW + 5, "of another")


def answer(stamp: Stamp | None, asked_us: int = NOW + 10) -> Answer:
    return Answer(b"n", asked_us, stamp, [(b"k", version.put(NOW, "t", b"v"))])


def test_a_head_survives_its_encoding() -> None:
    head = Head(b"nonce", OWN, [ME, OTHER], [digest(OWN)])
    assert decode_head(encode_head(head)) == head


def test_an_answer_survives_its_encoding() -> None:
    assert decode_answer(encode_answer(answer(OWN))) == answer(OWN)


def test_an_answer_that_was_too_large_survives_its_encoding() -> None:
    assert decode_answer(encode_answer(Answer(b"n", NOW))) == Answer(b"n", NOW, None, None)


@pytest.mark.parametrize("junk", [b"", b"\xc1", b"12", b"\x93\x01\x02\x03"])
def test_what_is_no_entry_is_none(junk: bytes) -> None:
    assert (decode_head(junk), decode_answer(junk)) == (None, None)


def test_a_head_without_writers_is_open() -> None:
    assert not Head(b"n").is_closed(NOW)


def test_a_head_is_closed_while_somebody_may_be_writing() -> None:
    assert Head(b"n").closed(b"m", ME, NOW).is_closed(NOW)


def test_a_writer_that_died_leaves_the_head_closed_until_its_write_can_come_no_more() -> None:
    closed = Head(b"n").closed(b"m", ME, NOW)
    assert closed.is_closed(NOW + IN_FLIGHT_MAX_US)
    assert not closed.is_closed(NOW + CLOSED_US)


def test_closing_and_opening_each_give_the_nonce_they_are_told() -> None:
    closed = Head(b"a").closed(b"b", ME, NOW)
    assert (closed.nonce, closed.opened(b"c", ME.id, [], NOW).nonce) == (b"b", b"c")


def test_a_head_that_one_of_two_opens_stays_closed_for_the_other() -> None:
    both = Head(b"a").closed(b"b", ME, NOW).closed(b"c", OTHER, NOW)
    assert both.opened(b"d", ME.id, [OWN], NOW).writers == [OTHER]


def test_writers_that_can_write_no_more_are_forgotten() -> None:
    dead = Head(b"a", writers=[Writer(b"dead", NOW)])
    assert dead.closed(b"b", ME, NOW).writers == [ME]
    assert dead.opened(b"b", ME.id, [], NOW).writers == []


def test_more_writers_than_a_head_names_are_one_that_is_not_named() -> None:
    head = Head(b"a")
    for number in range(WRITERS_MAX + 1):
        head = head.closed(b"b", Writer(b"%d" % number, NOW + 1 + number), NOW)
    assert head.writers == [Writer(b"", NOW + WRITERS_MAX), Writer(b"%d" % WRITERS_MAX, NOW + 1 + WRITERS_MAX)]


def test_a_head_that_was_lost_while_it_was_closed_is_opened_under_another_nonce() -> None:
    assert Head(b"made by a reader").opened(b"c", ME.id, [OWN], NOW).nonce == b"c"


def test_the_newest_write_is_kept_whichever_is_told_last() -> None:
    assert Head(b"a", LATER).opened(b"b", ME.id, [OWN], NOW).newest == LATER
    assert Head(b"a", OWN).opened(b"b", ME.id, [LATER], NOW).newest == LATER
    assert Head(b"a").opened(b"b", ME.id, [OWN, LATER], NOW).newest == LATER


def test_a_head_remembers_the_last_writes_it_was_told_of() -> None:
    stamps = [Stamp(number, "t") for number in range(SEEN_MAX + 1)]
    assert Head(b"a").opened(b"b", ME.id, stamps, NOW).seen == [digest(stamp) for stamp in stamps[1:]]


def test_whoever_has_written_nothing_takes_any_answer() -> None:
    assert answer(None).has(Head(b"n"), None, LATE)


def test_an_answer_older_than_ones_own_write_lacks_it() -> None:
    assert not answer(Stamp(NOW - 1, "own")).has(Head(b"n"), OWN, LATE)
    assert not answer(None).has(Head(b"n"), OWN, LATE)


def test_an_answer_of_the_record_at_ones_own_write_has_it() -> None:
    assert answer(OWN).has(Head(b"n"), OWN, LATE)


def test_a_later_write_of_another_does_not_say_that_ones_own_has_arrived() -> None:
    assert not answer(LATER).has(Head(b"n"), OWN, LATE)


def test_an_answer_under_a_head_that_was_told_of_ones_own_write_has_it() -> None:
    assert answer(LATER).has(Head(b"n", seen=[digest(OWN)]), OWN, LATE)


def test_an_answer_asked_when_ones_own_write_could_come_no_more_has_it() -> None:
    assert answer(LATER, NOW + LATE).has(Head(b"n"), OWN, LATE)
    assert not answer(LATER, NOW + LATE - 1).has(Head(b"n"), OWN, LATE)


def test_rows_that_have_expired_are_not_live() -> None:
    rows = [(b"a", version.put(NOW, "t", b"", NOW + 2)), (b"b", version.put(NOW, "t", b""))]
    kept = Answer(b"n", NOW, OWN, rows)
    assert [key for key, _ in kept.live(NOW + 1)] == [b"a", b"b"]
    assert [key for key, _ in kept.live(NOW + 2)] == [b"b"]


def test_keys_tell_namespaces_records_and_questions_apart() -> None:
    asked = [
        keys_of(space, partition, question)
        for space in (b"1", b"2")
        for partition in (b"a", b"b")
        for question in (WHOLE, points([b"x"]), points([b"y"]), points([b"x", b"y"]), points([]), points([b""]))
    ]
    assert len({keys.answer for keys in asked}) == len(asked)
    assert len({keys.head for keys in asked}) == 4


def test_keys_that_only_run_together_are_other_questions() -> None:
    assert points([b"a", b"bc"]) != points([b"ab", b"c"])


def test_keys_are_short_whatever_they_are_of() -> None:
    keys = keys_of(b"1" * 60, b"p" * 1_024, points([b"k" * 4_096]))
    assert max(map(len, keys)) <= KEY_MAX_BYTES
    assert head_key(b"1" * 60, b"p" * 1_024) == keys.head
