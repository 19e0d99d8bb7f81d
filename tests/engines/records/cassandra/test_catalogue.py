"""What a catalogue that is read anew costs the call that does it; the suites against a real server have the rest."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import msgspec
import pytest
from tests.engines.records.cassandra.kept import Died, Kept, process
from tests.engines.records.cassandra.scripted import ADDRESS, Session, Statement, requests_of, table_of

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import AlreadyExists, DeadlineExceeded, NotFound, Unavailable
from soundstage.engines.records.cassandra import schema
from soundstage.engines.records.cassandra.catalogue import REFRESH_NS, Catalogue
from soundstage.engines.records.cassandra.driver import root
from soundstage.engines.records.cassandra.link import Link
from soundstage.engines.records.cassandra.statements import Ledgers
from soundstage.engines.records.port import TableSpec

NAME = "kv/films"
ROW = (NAME, 1, msgspec.msgpack.encode(TableSpec(name=NAME)), None)
GONE = root.OperationTimedOut()
REFUSED = root.Unavailable("too few")


class Preparing(Session):
    """A session that prepares statements too."""

    def prepare(self, text: str) -> Statement:
        return Statement(text)


async def known(session: Session, environment: VirtualEnvironment) -> Catalogue:
    """A catalogue that was read a while ago."""
    link = Link(ADDRESS)
    link.session = session
    ledgers = Ledgers({name: Statement(name) for name in Ledgers.TEXTS})
    found = Catalogue(link, "main", requests_of(session, environment), ledgers, environment)
    await found.read()
    environment.advance(REFRESH_NS / 1e9 + 1)
    return found


def within(environment: VirtualEnvironment, seconds: float) -> int:
    return environment.monotonic_ns() + round(seconds * 1e9)


async def test_a_table_is_known_for_a_few_seconds(environment: VirtualEnvironment) -> None:
    session = Preparing([[ROW], [ROW]])
    catalogue = await known(session, environment)
    for _ in range(3):
        assert (await catalogue.table(NAME)).spec.name == NAME
    assert len(session.sent) == 2


async def test_a_call_waits_for_no_longer_than_its_deadline(environment: VirtualEnvironment) -> None:
    session = Preparing([[ROW], GONE])
    catalogue = await known(session, environment)
    assert (await catalogue.table(NAME, within(environment, 1.5))).spec.name == NAME
    assert session.sent[-1].timeout == pytest.approx(1.5)


async def test_without_an_answer_a_call_is_given_up_at_its_deadline(environment: VirtualEnvironment) -> None:
    catalogue = await known(Preparing([[ROW], *[REFUSED] * 1_000]), environment)
    deadline_ns = within(environment, 1.5)
    with pytest.raises(Unavailable):
        await catalogue.table(NAME, deadline_ns)
    assert environment.monotonic_ns() <= deadline_ns


async def test_a_call_that_is_late_leaves_it_to_the_next(environment: VirtualEnvironment) -> None:
    session = Preparing([[ROW], [ROW]])
    catalogue = await known(session, environment)
    await catalogue.table(NAME, environment.monotonic_ns())
    asked = len(session.sent)
    await catalogue.table(NAME)
    assert (asked, len(session.sent)) == (1, 2)


async def test_a_table_that_is_not_known_is_asked_for_until_the_deadline(environment: VirtualEnvironment) -> None:
    catalogue = await known(Preparing([[ROW], GONE]), environment)
    with pytest.raises(DeadlineExceeded):
        await catalogue.table("kv/others", within(environment, 1.5))


LOOSE = (NAME, 1, msgspec.msgpack.encode(TableSpec(name=NAME, eventual=True)), None)
LOCAL = (NAME, 1, msgspec.msgpack.encode(TableSpec(name=NAME, scope="local")), None)


@pytest.mark.parametrize("row", [LOOSE, LOCAL])
async def test_a_call_that_fewer_replicas_are_enough_for_waits_for_no_quorum(
    environment: VirtualEnvironment, row: tuple[Any, ...]
) -> None:
    session = Preparing([[row]])
    catalogue = await known(session, environment)
    tables = [await catalogue.table(NAME) for _ in range(3)]
    await asyncio.sleep(0)
    asked = len(session.sent)
    await catalogue.close()
    assert ({table.spec.name for table in tables}, asked) == ({NAME}, 2)


async def test_what_is_read_meanwhile_counts_from_then_on(environment: VirtualEnvironment) -> None:
    catalogue = await known(Preparing([[LOOSE], [], []]), environment)
    await catalogue.table(NAME)
    for _ in range(10):
        await asyncio.sleep(0)
    with pytest.raises(NotFound):
        await catalogue.table(NAME)


async def test_without_a_quorum_what_is_known_is_told_on_and_on(environment: VirtualEnvironment) -> None:
    catalogue = await known(Preparing([[LOOSE], *[REFUSED] * 1_000]), environment)
    for _ in range(100):
        environment.advance(1)
        assert (await catalogue.table(NAME)).spec.name == NAME
        await asyncio.sleep(0)
    await catalogue.close()


@pytest.mark.parametrize(("conditional", "eventual"), [(False, True), (True, False)])
def test_what_takes_conditions_is_never_eventual(conditional: bool, eventual: bool) -> None:
    assert table_of(TableSpec(name=NAME, conditional=conditional, eventual=True)).eventual is eventual


def kept(number: int, name: str = NAME) -> tuple[Any, ...]:
    return name, number, msgspec.msgpack.encode(TableSpec(name=name)), None


async def test_of_a_table_that_somebody_failed_to_drop_nothing_is_erased(environment: VirtualEnvironment) -> None:
    session = Preparing([[ROW], [(1, "rows")], [kept(1)]])
    assert await (await known(session, environment)).dropped() is None


async def test_what_was_dropped_is_erased_though_another_could_not_be(environment: VirtualEnvironment) -> None:
    session = Preparing([[ROW], [(1, "rows"), (2, "paxos")], [kept(1)]])
    found = await (await known(session, environment)).dropped()
    assert found is not None
    assert (found.number, found.statements.place) == (2, "paxos")


async def test_without_anything_dropped_the_catalogue_is_left_alone(environment: VirtualEnvironment) -> None:
    session = Preparing([[ROW], []])
    assert await (await known(session, environment)).dropped() is None
    assert len(session.sent) == 2


async def test_a_table_of_its_own_that_was_left_behind_goes(
    environment: VirtualEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes: list[str] = []

    async def change_schema(_: Link, statement: str) -> None:
        changes.append(statement)

    monkeypatch.setattr(Link, "change_schema", change_schema)
    session = Preparing([[ROW], [(7, "rows_7")], [], [], None])
    assert await (await known(session, environment)).dropped() is None
    assert changes == [f"DROP TABLE IF EXISTS {ADDRESS.keyspace}.rows_7"]
    assert session.sent[-1].request.values == ("main", 7)


SPECS = [TableSpec(name=NAME), TableSpec(name=NAME, conditional=True), TableSpec(name=NAME, dedicated=True)]
OTHER = TableSpec(name="kv/others")
STEPS_MAX = 20
FENCE = 7


async def dies(call: Coroutine[Any, Any, object]) -> bool:
    """Whether its process died in the call."""
    try:
        await call
    except Died:
        return True
    return False


def stored(spec: TableSpec) -> Kept:
    """A table under a fence, beside another one."""
    kept = Kept()
    kept.put(OTHER)
    kept.put(spec, fence=FENCE)
    return kept


@pytest.mark.parametrize("done", [False, True])
@pytest.mark.parametrize("spec", SPECS)
async def test_a_drop_that_dies_at_any_step_leaves_all_or_what_the_next_sweep_finishes(
    environment: VirtualEnvironment, spec: TableSpec, done: bool
) -> None:
    for step in range(STEPS_MAX):
        kept = stored(spec)
        died = await dies((await process(kept, environment, step, done=done)).catalogue.drop(NAME))
        whole = NAME in kept.catalogue
        after = await process(kept, environment)
        for _ in range(3):
            await after.eraser.erase()
        if whole:
            assert (kept.rows[2], kept.fences) == ({b"record"}, {2: FENCE})
            await after.catalogue.drop(NAME)
            await after.eraser.erase()
        assert (set(kept.catalogue), kept.fences, kept.dropped, kept.own) == ({OTHER.name}, {}, {}, set())
        assert kept.rows[1] == {b"record"}
        assert spec.dedicated or not kept.rows[2]
        if not died:
            return
    raise AssertionError("a drop has more steps than were looked at")


@pytest.mark.parametrize("done", [False, True])
@pytest.mark.parametrize("spec", SPECS)
async def test_a_sweep_that_dies_at_any_step_of_erasing_leaves_what_the_next_one_finishes(
    environment: VirtualEnvironment, spec: TableSpec, done: bool
) -> None:
    for step in range(STEPS_MAX):
        kept = stored(spec)
        place = schema.name_of(2, conditional=spec.conditional, dedicated=spec.dedicated)
        del kept.catalogue[NAME]
        kept.dropped[2] = place
        died = await dies((await process(kept, environment, step, done=done)).eraser.erase())
        after = await process(kept, environment)
        for _ in range(3):
            await after.eraser.erase()
        assert (kept.fences, kept.dropped, kept.own) == ({}, {}, set())
        assert kept.rows[1] == {b"record"}
        if not died:
            return
    raise AssertionError("erasing has more steps than were looked at")


async def test_two_that_make_a_table_of_its_own_at_once_leave_one(environment: VirtualEnvironment) -> None:
    kept, spec = Kept(), TableSpec(name=NAME, dedicated=True)
    kept.last = 1
    first = await process(kept, environment)
    second = await process(kept, environment)
    made = kept.change_schema

    def make(statement: str) -> None:
        made(statement)
        if NAME not in kept.catalogue and statement.startswith("CREATE"):
            kept.put(spec)

    kept.change_schema = make
    await first.catalogue.create(spec)
    await second.catalogue.create(spec)
    assert (kept.own, kept.dropped) == ({f"rows_{kept.catalogue[NAME][0]}"}, {})


async def test_a_table_that_was_made_by_an_attempt_of_unknown_outcome_stays(environment: VirtualEnvironment) -> None:
    kept, spec = Kept(), TableSpec(name=NAME, dedicated=True)
    kept.last = 1
    made = await process(kept, environment)
    answer = kept.answer

    def unknown(text: str, values: tuple[Any, ...]) -> Any:
        found = answer(text, values)
        if text == Ledgers.TEXTS["add_table"]:
            kept.answer = answer
            return root.WriteTimeout("timed out", write_type=0)
        return found

    kept.answer = unknown
    await made.catalogue.create(spec)
    assert (kept.own, kept.catalogue[NAME][0], kept.dropped) == ({"rows_2"}, 2, {})


DECIDED_HERE = TableSpec(name=NAME, conditional=True, scope="local")


async def put_in_turn(environment: VirtualEnvironment, *specs: TableSpec, region: str = "") -> TableSpec:
    """What is kept of a table after it was made, and put again, as those say."""
    kept, found = Kept(), None
    for spec in specs:
        made = await process(kept, environment, region=region if found is None else "elsewhere")
        await made.catalogue.create(spec)
        found = (await made.catalogue.table(NAME)).spec
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("spec", "region"),
    [
        (DECIDED_HERE, "oslo"),
        (TableSpec(name=NAME, conditional=True, scope="global"), msgspec.UNSET),
        (TableSpec(name=NAME, scope="local"), msgspec.UNSET),
    ],
)
async def test_where_a_table_is_decided_is_kept_with_it(
    environment: VirtualEnvironment, spec: TableSpec, region: Any
) -> None:
    assert (await put_in_turn(environment, spec, region="oslo")).region == region


async def test_who_puts_a_table_again_elsewhere_does_not_move_its_decisions(environment: VirtualEnvironment) -> None:
    again = msgspec.structs.replace(DECIDED_HERE, max_lag_us=9)
    assert (await put_in_turn(environment, DECIDED_HERE, again, region="oslo")).region == "oslo"


@pytest.mark.parametrize("scope", ["global", msgspec.UNSET])
async def test_who_decides_about_a_table_is_never_changed(environment: VirtualEnvironment, scope: Any) -> None:
    with pytest.raises(AlreadyExists, match="decided by the copies of another scope"):
        await put_in_turn(environment, DECIDED_HERE, msgspec.structs.replace(DECIDED_HERE, scope=scope))


@pytest.mark.parametrize("scope", ["global", "local", msgspec.UNSET])
async def test_the_scope_of_a_table_without_conditions_may_change(environment: VirtualEnvironment, scope: Any) -> None:
    spec = TableSpec(name=NAME, scope="local")
    assert (await put_in_turn(environment, spec, msgspec.structs.replace(spec, scope=scope))).scope == scope
