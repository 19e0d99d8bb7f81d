"""Statuses that change one after the other, the shelf, and the lists."""

from __future__ import annotations

import pytest
from tests.data.writeahead.conftest import TARGET, House

from soundstage.core.errors import PreconditionFailed
from soundstage.data.writeahead.ledger import Known, Ledger, Listed, Status, dead, pending
from soundstage.data.writeahead.pieces import PIECE_BYTES

NAME = "0" * 32


def status(state: str = "accepting", **fields: object) -> Status:
    found = Status(TARGET, "accepting", b"digest", 3, "t", 1, 1, 0, 1)
    return found.now(state, **fields)  # type: ignore[arg-type]


@pytest.fixture
def ledger(house: House) -> Ledger:
    return house.ledger


@pytest.fixture
async def known(ledger: Ledger) -> Known:
    return await ledger.write(NAME, status(), None)


async def test_nothing_is_known_of_a_set_that_never_was(ledger: Ledger) -> None:
    assert await ledger.find(NAME) is None


async def test_what_was_written_is_known(ledger: Ledger, known: Known) -> None:
    assert await ledger.find(NAME) == known


async def test_of_two_who_decide_one_fails(ledger: Ledger, known: Known) -> None:
    await ledger.write(NAME, status("accepted"), known.stamp)
    with pytest.raises(PreconditionFailed):
        await ledger.write(NAME, status("dead"), known.stamp)


async def test_a_set_begins_once(ledger: Ledger, known: Known) -> None:
    with pytest.raises(PreconditionFailed):
        await ledger.write(NAME, status(), None)


async def test_a_set_that_is_kept_for_a_time_is_forgotten_after_it(house: House, ledger: Ledger, known: Known) -> None:
    await ledger.write(NAME, status("applied"), known.stamp, kept_us=5_000_000)
    house.environment.advance(4.9)
    assert await ledger.find(NAME) is not None
    house.environment.advance(0.2)
    assert await ledger.find(NAME) is None


@pytest.mark.parametrize("size", [0, 10, 2 * PIECE_BYTES + 5])
async def test_what_is_on_the_shelf_comes_back(ledger: Ledger, known: Known, size: int) -> None:
    pieces, checksum = await ledger.shelve(NAME, bytes(size))
    assert await ledger.content(NAME, status(pieces=pieces, checksum=checksum)) == bytes(size)


async def test_what_is_not_what_was_put_there_is_none(ledger: Ledger, known: Known) -> None:
    pieces, checksum = await ledger.shelve(NAME, b"content")
    await ledger.shelve(NAME, b"another")
    assert await ledger.content(NAME, status(pieces=pieces, checksum=checksum)) is None


async def test_a_shelf_that_is_cleared_is_empty(ledger: Ledger, known: Known) -> None:
    pieces, checksum = await ledger.shelve(NAME, b"content")
    shelved = status(pieces=pieces, checksum=checksum)
    after = await ledger.write(NAME, shelved, known.stamp, clear=True)
    assert after.status.pieces == 0
    assert await ledger.content(NAME, shelved) is None


async def test_a_list_has_the_earliest_first(ledger: Ledger) -> None:
    for at_us in (30, 10, 20):
        await ledger.enlist("list", Listed(at_us, NAME))
    assert [each.at_us for each in await ledger.listed("list", 10)] == [10, 20, 30]
    assert [each.at_us for each in await ledger.listed("list", 2)] == [10, 20]


async def test_a_list_is_read_up_to_a_time_and_behind_an_entry(ledger: Ledger) -> None:
    for at_us in (10, 20, 30):
        await ledger.enlist("list", Listed(at_us, NAME))
    assert [each.at_us for each in await ledger.listed("list", 10, until_us=20)] == [10]
    assert [each.at_us for each in await ledger.listed("list", 10, after=Listed(10, NAME).key)] == [20, 30]


async def test_an_entry_that_was_written_anew_since_it_was_read_stays(house: House, ledger: Ledger) -> None:
    await ledger.enlist("list", Listed(10, NAME))
    (read,) = await ledger.listed("list", 10)
    house.environment.advance(1)
    await ledger.enlist("list", Listed(10, NAME))
    await ledger.strike("list", read)
    assert len(await ledger.listed("list", 10)) == 1


async def test_a_set_that_waits_is_in_the_list_under_its_time(ledger: Ledger, known: Known) -> None:
    waiting = status("pending", next_us=50)
    assert (await ledger.wait(NAME, waiting, known.stamp)).status == waiting
    assert [(each.at_us, each.mutation_id) for each in await ledger.listed(pending(TARGET), 10)] == [(50, NAME)]
    assert await ledger.listed(dead(TARGET), 10) == []


async def test_a_set_about_which_others_decided_does_not_wait(ledger: Ledger, known: Known) -> None:
    await ledger.write(NAME, status("discarded"), known.stamp)
    with pytest.raises(PreconditionFailed):
        await ledger.wait(NAME, status("pending", next_us=50), known.stamp)
