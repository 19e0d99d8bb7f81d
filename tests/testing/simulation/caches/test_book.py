"""What readers may be shown: each promise by itself, kept and broken."""

from __future__ import annotations

import pytest

from soundstage.testing.simulation.caches.book import Asked, Author, Book, Write, Written, deleted, put
from soundstage.testing.simulation.scenario import Divergence

KEY = b"k"
HERE, THERE = Author(0, 1), Author(1, 1)
OLD, NEW = put(1, "a", 0, b"old"), put(2, "b", 0, b"new")
TIMES_US = (100, 100)


@pytest.fixture
def book() -> Book:
    return Book(ttl_s=10.0, late_s=5.0)


def write(book: Book, version: Written, *, at_s: float, told: bool, by: int = 0, author: Author = HERE) -> Write:
    found = Write(by, at_s, {KEY: version})
    book.begin("ada", found)
    book.acknowledge("ada", found, author, at_s, told=told)
    return found


def least(book: Book, at_s: float, author: Author = THERE, connection: int | None = None) -> Written | None:
    return book.least("ada", Asked(at_s, author, connection), KEY)


def check(book: Book, at_s: float, seen: Written | None, author: Author = THERE, connection: int | None = None) -> bool:
    return book.check("ada", KEY, least(book, at_s, author, connection), seen, TIMES_US)


def test_what_was_told_is_seen_by_all(book: Book) -> None:
    write(book, OLD, at_s=0, told=True)
    write(book, NEW, at_s=1, told=True)
    assert check(book, 2, NEW)
    with pytest.raises(Divergence, match="must show"):
        check(book, 2, OLD)


def test_a_read_that_began_before_may_miss_it(book: Book) -> None:
    write(book, OLD, at_s=0, told=True)
    write(book, NEW, at_s=3, told=True)
    assert not check(book, 2, OLD)


def test_what_was_not_told_may_be_missed_elsewhere_for_a_while(book: Book) -> None:
    write(book, OLD, at_s=0, told=True)
    write(book, NEW, at_s=1, told=False)
    assert not check(book, 15, OLD)
    with pytest.raises(Divergence, match="must show"):
        check(book, 16, OLD)


def test_its_own_process_never_misses_it(book: Book) -> None:
    write(book, OLD, at_s=0, told=True)
    write(book, NEW, at_s=1, told=False)
    with pytest.raises(Divergence, match="must show"):
        check(book, 2, OLD, HERE)
    assert not check(book, 2, OLD, Author(0, 2))


def test_once_it_was_told_all_see_it(book: Book) -> None:
    write(book, OLD, at_s=0, told=True)
    write(book, NEW, at_s=1, told=False)
    book.tell(lambda author, record: (author, record) == (HERE, "ada"), 2)
    with pytest.raises(Divergence, match="must show"):
        check(book, 2, OLD)


def test_a_process_that_has_told_nothing_changes_nothing(book: Book) -> None:
    write(book, OLD, at_s=0, told=True)
    write(book, NEW, at_s=1, told=False)
    book.tell(lambda author, record: False, 2)
    assert not check(book, 2, OLD)


def test_a_connection_that_remembers_sees_its_greatest_write_and_those_before_it(book: Book) -> None:
    write(book, OLD, at_s=0, told=False, by=7)
    assert least(book, 1, connection=7) == OLD
    write(book, NEW, at_s=2, told=False, by=7)
    assert (least(book, 3, connection=7), least(book, 3, connection=8)) == (NEW, None)


def test_what_it_wrote_later_with_an_older_time_it_may_miss(book: Book) -> None:
    found = Write(7, 0, {b"other": NEW})
    book.begin("ada", found)
    book.acknowledge("ada", found, HERE, 0, told=False)
    write(book, OLD, at_s=1, told=False, by=7)
    assert least(book, 2, connection=7) is None


def test_nobody_is_shown_what_nobody_wrote(book: Book) -> None:
    write(book, OLD, at_s=0, told=True)
    with pytest.raises(Divergence, match="nobody wrote"):
        check(book, 1, NEW)


def test_what_was_never_acknowledged_may_be_seen_or_not(book: Book) -> None:
    book.begin("ada", Write(0, 0, {KEY: NEW}))
    assert check(book, 1, NEW)
    assert check(book, 1, None)


@pytest.mark.parametrize("gone", [deleted(3, "c"), put(3, "c", 100, b"")], ids=["deleted", "expired"])
def test_what_is_not_there_was_deleted_or_has_expired(book: Book, gone: Written) -> None:
    write(book, NEW, at_s=0, told=True)
    with pytest.raises(Divergence, match="not there"):
        check(book, 1, None)
    write(book, gone, at_s=2, told=True)
    assert check(book, 3, None)


def test_what_has_expired_is_not_shown(book: Book) -> None:
    write(book, put(1, "a", 100, b""), at_s=0, told=True)
    with pytest.raises(Divergence, match="expired"):
        check(book, 1, put(1, "a", 100, b""))


def test_where_all_is_well_what_one_was_shown_all_see() -> None:
    book = Book(10.0, 5.0, calm=True)
    write(book, OLD, at_s=0, told=True)
    book.begin("ada", Write(0, 1, {KEY: NEW}))
    assert check(book, 2, OLD)
    assert check(book, 2, NEW)
    with pytest.raises(Divergence, match="must show"):
        check(book, 3, OLD)


def test_a_write_is_acknowledged_once(book: Book) -> None:
    found = write(book, OLD, at_s=1, told=False)
    book.acknowledge("ada", found, THERE, 2, told=True)
    assert (found.author, found.acked_s, found.for_all_s) == (HERE, 1, 16)


def test_what_has_a_condition_is_of_the_time_that_is_told_or_seen(book: Book) -> None:
    write(book, OLD, at_s=0, told=True)
    swap = Write(0, 1, {KEY: put(1, "b", 0, b"new")}, unstamped=True)
    book.begin("ada", swap)
    assert check(book, 2, NEW)
    assert (swap.unstamped, swap.items[KEY]) == (False, NEW)
    book.acknowledge("ada", swap, HERE, 3, told=True)
    with pytest.raises(Divergence, match="must show"):
        check(book, 4, OLD)


def test_the_newest_is_what_was_acknowledged_by_then(book: Book) -> None:
    write(book, OLD, at_s=0, told=True)
    write(book, NEW, at_s=3, told=False)
    book.begin("ada", Write(0, 4, {KEY: put(9, "z", 0, b"never")}))
    assert (book.newest("ada", KEY), book.newest("ada", KEY, 3), book.newest("bob", KEY)) == (NEW, OLD, None)
