"""Indexes and the aliases that point at them."""

from __future__ import annotations

import pytest

from soundstage.core.errors import AlreadyExists, InvalidArgument, NotFound, TooLarge
from soundstage.engines.search.port import (
    FIELDS_MAX,
    Field,
    IndexSpec,
    Kind,
    Put,
    Request,
    Search,
    SearchCapability,
)
from soundstage.engines.search.queries import All
from soundstage.testing.search.bench import ids_of, own_name

SMALL = {"name": Field(kind=Kind.KEYWORD)}

WRONG_FIELDS: dict[str, dict[str, Field]] = {
    "none": {},
    "capital letters": {"Name": Field(kind=Kind.KEYWORD)},
    "a point": {"a.b": Field(kind=Kind.KEYWORD)},
    "many texts": {"a": Field(kind=Kind.TEXT, many=True)},
    "fields without objects": {"a": Field(kind=Kind.KEYWORD, fields=SMALL)},
    "objects without fields": {"a": Field(kind=Kind.NESTED)},
    "dimensions of a number": {"a": Field(kind=Kind.DOUBLE, dimensions=2)},
    "a vector without dimensions": {"a": Field(kind=Kind.VECTOR)},
    "objects in objects": {
        "a": Field(kind=Kind.NESTED, fields={"b": Field(kind=Kind.NESTED, fields=SMALL)}),
    },
    "a vector in objects": {"a": Field(kind=Kind.NESTED, fields={"b": Field(kind=Kind.VECTOR, dimensions=2)})},
}


class Indexes:
    async def test_an_index_is_made_once(self, search: Search) -> None:
        spec = IndexSpec(name=own_name(), fields=SMALL)
        await search.create_index(spec)
        await search.bulk(spec.name, [Put("1", {"name": "a"})])
        await search.create_index(spec)
        assert [found and found.fields for found in await search.get(spec.name, ["1"])] == [{"name": "a"}]
        assert [info.spec for info in await search.indexes()].count(spec) == 1
        await search.drop_index(spec.name)

    async def test_an_index_does_not_change_its_fields(self, search: Search) -> None:
        spec = IndexSpec(name=own_name(), fields=SMALL)
        await search.create_index(spec)
        with pytest.raises(AlreadyExists):
            await search.create_index(IndexSpec(name=spec.name, fields={"name": Field(kind=Kind.TEXT)}))
        await search.drop_index(spec.name)

    async def test_what_was_dropped_is_gone_and_may_come_back_otherwise(self, search: Search) -> None:
        spec = IndexSpec(name=own_name(), fields=SMALL)
        await search.create_index(spec)
        await search.bulk(spec.name, [Put("1", {"name": "a"})])
        await search.drop_index(spec.name)
        await search.drop_index(spec.name)
        with pytest.raises(NotFound):
            await search.search(spec.name, Request())
        await search.create_index(IndexSpec(name=spec.name, fields={"name": Field(kind=Kind.TEXT)}))
        assert await search.get(spec.name, ["1"]) == [None]
        await search.drop_index(spec.name)

    async def test_nothing_is_done_in_an_index_that_is_not_there(self, search: Search) -> None:
        name = own_name()
        for call in (
            search.bulk(name, []),
            search.get(name, ["1"]),
            search.search(name, Request()),
            search.refresh(name),
            search.delete_where(name, All()),
            search.point(own_name(), name),
        ):
            with pytest.raises(NotFound, match=name):
                await call

    @pytest.mark.parametrize("name", ["", "Films", "a/b", "-a", "a" * 101, "ä", "_all", "a*"])
    async def test_what_is_no_name_is_refused(self, search: Search, name: str) -> None:
        for call in (
            search.create_index(IndexSpec(name=name, fields=SMALL)),
            search.drop_index(name),
            search.point(name, None),
            search.search(name, Request()),
        ):
            with pytest.raises(InvalidArgument):
                await call

    @pytest.mark.parametrize("case", WRONG_FIELDS)
    async def test_fields_that_make_no_sense_are_refused(self, search: Search, case: str) -> None:
        with pytest.raises(InvalidArgument):
            await search.create_index(IndexSpec(name=own_name(), fields=WRONG_FIELDS[case]))

    async def test_more_fields_than_an_index_has_are_refused(self, search: Search) -> None:
        fields = {f"f{number}": Field(kind=Kind.KEYWORD) for number in range(FIELDS_MAX + 1)}
        with pytest.raises(TooLarge):
            await search.create_index(IndexSpec(name=own_name(), fields=fields))

    async def test_a_field_that_the_engine_lacks_a_capability_for_is_refused(self, search: Search) -> None:
        for capability, field in (
            (SearchCapability.NESTED, Field(kind=Kind.NESTED, fields=SMALL)),
            (SearchCapability.VECTORS, Field(kind=Kind.VECTOR, dimensions=2)),
        ):
            if capability not in search.capabilities:
                with pytest.raises(InvalidArgument, match=capability.value):
                    await search.create_index(IndexSpec(name=own_name(), fields={"a": field}))

    async def test_an_alias_is_another_name_until_it_points_elsewhere(self, search: Search) -> None:
        one, other, alias = own_name(), own_name(), own_name()
        await search.create_index(IndexSpec(name=one, fields=SMALL))
        await search.create_index(IndexSpec(name=other, fields={"name": Field(kind=Kind.TEXT)}))
        await search.point(alias, one)
        await search.bulk(alias, [Put("1", {"name": "a"})])
        await search.refresh(alias)
        assert await ids_of(search, alias, All()) == {"1"}
        await search.point(alias, other)
        assert await ids_of(search, alias, All()) == set()
        assert await ids_of(search, one, All()) == {"1"}
        aliases = {info.spec.name: info.aliases for info in await search.indexes()}
        assert (aliases[one], aliases[other]) == ([], [alias])
        await search.drop_index(one)
        await search.drop_index(other)

    async def test_an_alias_that_points_at_nothing_is_none(self, search: Search) -> None:
        name, alias = own_name(), own_name()
        await search.create_index(IndexSpec(name=name, fields=SMALL))
        await search.point(alias, name)
        await search.point(alias, None)
        await search.point(alias, None)
        with pytest.raises(NotFound):
            await search.search(alias, Request())
        await search.drop_index(name)

    async def test_an_alias_goes_with_its_index(self, search: Search) -> None:
        name, alias = own_name(), own_name()
        await search.create_index(IndexSpec(name=name, fields=SMALL))
        await search.point(alias, name)
        with pytest.raises(InvalidArgument):
            await search.drop_index(alias)
        await search.drop_index(name)
        with pytest.raises(NotFound):
            await search.refresh(alias)
        await search.create_index(IndexSpec(name=name, fields=SMALL))
        assert [info.aliases for info in await search.indexes() if info.spec.name == name] == [[]]
        await search.drop_index(name)

    async def test_an_index_and_an_alias_never_share_a_name(self, search: Search) -> None:
        name, alias = own_name(), own_name()
        await search.create_index(IndexSpec(name=name, fields=SMALL))
        await search.point(alias, name)
        with pytest.raises(AlreadyExists):
            await search.point(name, name)
        with pytest.raises(AlreadyExists):
            await search.create_index(IndexSpec(name=alias, fields=SMALL))
        await search.drop_index(name)
