"""Starts, stops, and what is there afterwards."""

from __future__ import annotations

import pytest

from soundstage.core.errors import SoundstageError, Unavailable
from soundstage.engines.search.port import Field, IndexSpec, Kind, Put, Request, Search, SearchCapability, Unchanged
from soundstage.engines.search.queries import All
from soundstage.testing.records.requirements import requires
from soundstage.testing.search.bench import OpenIndexes, ids_of, own_name

SPEC = {"name": Field(kind=Kind.TEXT), "year": Field(kind=Kind.INTEGER)}


class Lifecycle:
    async def test_an_engine_that_was_stopped_refuses(self, open_search: OpenIndexes) -> None:
        search = await open_search()
        await search.stop()
        await search.stop()
        for call in (
            search.create_index(IndexSpec(name="a", fields=SPEC)),
            search.drop_index("a"),
            search.indexes(),
            search.point("b", "a"),
            search.bulk("a", []),
            search.get("a", ["1"]),
            search.search("a", Request()),
            search.refresh("a"),
            search.delete_where("a", All()),
        ):
            with pytest.raises(Unavailable, match="stopped"):
                await call

    @requires(SearchCapability.DURABLE)
    async def test_what_was_acknowledged_is_there_after_a_restart(self, open_search: OpenIndexes) -> None:
        name, alias = own_name(), own_name()
        first = await open_search()
        await first.create_index(IndexSpec(name=name, fields=SPEC))
        await first.point(alias, name)
        outcomes = await first.bulk(name, [Put("1", {"name": "Heat", "year": 1}), Put("2", {"name": "Ronin"})])
        await first.stop()
        second = await open_search()
        kept = await second.get(alias, ["1", "2", "3"])
        assert [each and (each.fields, each.revision) for each in kept] == [
            ({"name": "Heat", "year": 1}, outcomes[0].revision),
            ({"name": "Ronin"}, outcomes[1].revision),
            None,
        ]
        await second.refresh(alias)
        assert await ids_of(second, alias, All()) == {"1", "2"}
        (info,) = [info for info in await second.indexes() if info.spec.name == name]
        assert (info.spec.fields, info.aliases) == (SPEC, [alias])
        await second.drop_index(name)
        await second.stop()

    @requires(SearchCapability.DURABLE)
    async def test_revisions_are_not_given_twice_across_restarts(self, open_search: OpenIndexes) -> None:
        name = own_name()
        first = await open_search()
        await first.create_index(IndexSpec(name=name, fields=SPEC))
        (outcome,) = await first.bulk(name, [Put("1", {"year": 1})])
        assert await first.delete_where(name, All()) == 1
        await first.stop()
        second = await open_search()
        await second.bulk(name, [Put("1", {"year": 2})])
        (stale,) = await second.bulk(name, [Put("1", {"year": 3}, Unchanged(outcome.revision))])
        assert stale.status == "conflict"
        await second.drop_index(name)
        await second.stop()

    async def test_a_deadline_that_has_passed_ends_the_call_and_nothing_is_made(
        self, search: Search, plain: str
    ) -> None:
        with pytest.raises(SoundstageError) as refusal:
            await search.bulk(plain, [Put("1", {"year": 1})], deadline_ns=0)
        assert refusal.value.code == "deadline"
        assert await search.get(plain, ["1"]) == [None]
        for call in (
            search.get(plain, ["1"], deadline_ns=0),
            search.search(plain, Request(), deadline_ns=0),
            search.refresh(plain, deadline_ns=0),
            search.delete_where(plain, All(), deadline_ns=0),
        ):
            with pytest.raises(SoundstageError) as refusal:
                await call
            assert refusal.value.code == "deadline"
