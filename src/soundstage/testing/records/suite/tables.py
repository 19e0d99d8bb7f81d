"""Tables: made, changed, dropped, and strictly apart."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec
import pytest

from soundstage.core.errors import AlreadyExists, NotFound
from soundstage.engines.records.port import ALL, DEFAULT_BUDGET, Records, TableSpec
from soundstage.testing.model import Put
from soundstage.testing.records.bench import RECORD, TABLE, Bench
from soundstage.testing.records.suite.walks import walk
from soundstage.testing.records.writes import batch_of

OTHER = "suite/other"
UNKNOWN = "suite/unknown"

CALLS: dict[str, Callable[[Bench, Records], Awaitable[object]]] = {
    "apply": lambda bench, engine: engine.apply(UNKNOWN, RECORD, batch_of(bench.write(at=0, puts={b"": Put(b"")}))),
    "get": lambda _, engine: engine.get(UNKNOWN, RECORD, [b""], 0),
    "read": lambda _, engine: engine.read(UNKNOWN, RECORD, ALL, DEFAULT_BUDGET, 0),
    "read_many": lambda _, engine: engine.read_many(UNKNOWN, [RECORD], ALL, DEFAULT_BUDGET, 0),
    "walk": lambda _, engine: engine.walk(UNKNOWN, 0, 1, None, DEFAULT_BUDGET, 0),
    "set_purge_floor": lambda _, engine: engine.set_purge_floor(UNKNOWN, 0),
}
"""Every call that needs a table, on one that is not there."""


async def create(bench: Bench, name: str = OTHER, **settings: object) -> TableSpec:
    """A table like the bench's, but for `settings`."""
    spec = msgspec.structs.replace(bench.spec, name=name, **settings)
    await bench.engine.create_table(spec)
    return spec


async def put_into(bench: Bench, table: str, value: bytes, *, at: int = -1) -> None:
    """The record has one item in `table`."""
    await bench.engine.apply(table, RECORD, batch_of(bench.write(at=at, puts={b"key": Put(value)})))


async def count_in(bench: Bench, table: str) -> int:
    """How many items the record has in `table`."""
    return len((await bench.engine.read(table, RECORD, ALL, DEFAULT_BUDGET, bench.at(None))).rows)


class Tables:
    async def test_tables_are_listed_by_name_with_their_settings(self, bench: Bench) -> None:
        late, early = await create(bench, "suite/z", max_lag_us=1), await create(bench, "suite/a", key_order="desc")
        assert await bench.engine.tables() == [early, bench.spec, late]

    async def test_a_table_made_again_keeps_its_rows(self, bench: Bench) -> None:
        await put_into(bench, TABLE, b"kept")
        await bench.engine.create_table(bench.spec)
        assert await bench.values() == {b"key": b"kept"}

    @pytest.mark.parametrize("setting", ["key_order", "dedicated", "conditional"])
    async def test_what_is_fixed_cannot_be_changed(self, bench: Bench, setting: str) -> None:
        other = {"key_order": "desc", "dedicated": True, "conditional": not bench.spec.conditional}[setting]
        with pytest.raises(AlreadyExists) as refused:
            await create(bench, TABLE, **{setting: other})
        assert refused.value.field == setting
        assert await bench.engine.tables() == [bench.spec]

    async def test_other_settings_are_updated(self, bench: Bench) -> None:
        changed = await create(bench, TABLE, max_lag_us=5, delete_ttl_min_us=6, delete_ttl_max_us=7)
        assert await bench.engine.tables() == [changed]

    async def test_tables_hold_rows_of_their_own(self, bench: Bench) -> None:
        await create(bench)
        await put_into(bench, OTHER, b"other")
        assert (await bench.rows(), await bench.stamp()) == ([], None)

    async def test_a_table_of_its_own_files_holds_rows_too(self, bench: Bench) -> None:
        await create(bench, dedicated=True)
        await put_into(bench, OTHER, b"value")
        assert (await count_in(bench, OTHER), await count_in(bench, TABLE)) == (1, 0)

    async def test_walks_stay_in_their_table(self, bench: Bench) -> None:
        for name in ("suite/a", "suite/z"):
            await create(bench, name)
            await put_into(bench, name, b"value")
        await bench.put(b"own", b"", at=-1)
        assert [key for _, (key, _) in await walk(bench)] == [b"own"]

    @pytest.mark.parametrize("dedicated", [False, True])
    async def test_a_dropped_table_is_gone(self, bench: Bench, dedicated: bool) -> None:
        await create(bench, dedicated=dedicated)
        await bench.engine.drop_table(OTHER)
        assert await bench.engine.tables() == [bench.spec]
        with pytest.raises(NotFound):
            await count_in(bench, OTHER)

    async def test_dropping_a_table_leaves_the_others(self, bench: Bench) -> None:
        for name in ("suite/a", "suite/z"):
            await create(bench, name)
            await put_into(bench, name, b"value")
        await put_into(bench, TABLE, b"dropped")
        await bench.engine.drop_table(TABLE)
        assert [await count_in(bench, name) for name in ("suite/a", "suite/z")] == [1, 1]

    async def test_dropping_an_unknown_table_is_no_error(self, bench: Bench) -> None:
        await bench.engine.drop_table(UNKNOWN)
        assert await bench.engine.tables() == [bench.spec]

    @pytest.mark.parametrize("dedicated", [False, True])
    async def test_a_table_made_after_a_drop_is_empty(self, bench: Bench, dedicated: bool) -> None:
        await create(bench, dedicated=dedicated)
        await put_into(bench, OTHER, b"gone")
        await bench.engine.drop_table(OTHER)
        await create(bench, dedicated=dedicated)
        page = await bench.engine.read(OTHER, RECORD, ALL, DEFAULT_BUDGET, bench.at(None))
        assert (page.rows, page.stamp) == ([], None)

    async def test_a_table_made_after_a_drop_may_have_other_fixed_settings(self, bench: Bench) -> None:
        await create(bench)
        await bench.engine.drop_table(OTHER)
        changed = await create(bench, key_order="desc", dedicated=True)
        assert changed in await bench.engine.tables()

    async def test_a_delete_in_a_dropped_table_hides_nothing_in_the_next(self, bench: Bench) -> None:
        await create(bench)
        await bench.engine.apply(OTHER, RECORD, batch_of(bench.write(at=0, token="delete", whole=True)))
        await bench.engine.drop_table(OTHER)
        await create(bench)
        await put_into(bench, OTHER, b"older", at=-1)
        assert await count_in(bench, OTHER) == 1

    @pytest.mark.parametrize("call", CALLS)
    async def test_a_call_on_an_unknown_table_says_so(self, bench: Bench, call: str) -> None:
        with pytest.raises(NotFound, match=UNKNOWN):
            await CALLS[call](bench, bench.engine)

    @pytest.mark.parametrize("call", CALLS)
    async def test_no_other_call_makes_a_table(self, bench: Bench, call: str) -> None:
        with pytest.raises(NotFound):
            await CALLS[call](bench, bench.engine)
        assert await bench.engine.tables() == [bench.spec]

    async def test_tables_are_there_after_a_restart(self, bench: Bench) -> None:
        dropped = await create(bench, "suite/dropped")
        kept = await create(bench, dedicated=True, max_lag_us=7)
        await bench.engine.drop_table(dropped.name)
        await bench.reopen()
        assert await bench.engine.tables() == [bench.spec, kept]

    async def test_a_dropped_table_stays_gone_after_a_restart(self, bench: Bench) -> None:
        await create(bench)
        await put_into(bench, OTHER, b"gone")
        await bench.engine.drop_table(OTHER)
        await bench.reopen()
        await create(bench)
        assert await count_in(bench, OTHER) == 0

    async def test_many_tables_stand_side_by_side(self, bench: Bench) -> None:
        names = [f"suite/many/{number:03d}" for number in range(100)]
        for number, name in enumerate(names):
            await create(bench, name)
            await put_into(bench, name, b"value", at=-number)
        for name in names[::2]:
            await bench.engine.drop_table(name)
        assert [await count_in(bench, name) for name in names[1::2]] == [1] * 50
