"""What is most alike."""

from __future__ import annotations

import math
from typing import Any, cast

import pytest

from soundstage.core.errors import InvalidArgument
from soundstage.engines.search.port import (
    NEAREST_MAX,
    Absent,
    Delete,
    Field,
    IndexSpec,
    Kind,
    Nearest,
    Put,
    Search,
    SearchCapability,
    Status,
    VectorSearch,
)
from soundstage.engines.search.queries import All, Bool, Exists, Match, Term
from soundstage.testing.records.requirements import requires
from soundstage.testing.search.bench import found, own_name
from soundstage.testing.search.films import NAME, show

X = [1.0, 0.0, 0.0]

NEAREST: dict[str, tuple[Nearest, list[tuple[str, float]]]] = {
    "by the angle": (
        Nearest(field="mood", vector=[5.0, 0.0, 0.0]),
        [("heat", 1.0), ("ronin", 3 / math.sqrt(10)), ("train", 1 / math.sqrt(3)), ("samurai", 0.0), ("amelie", -1.0)],
    ),
    "by the distance": (
        Nearest(field="place", vector=[0.0, 0.0]),
        [("heat", 1.0), ("samurai", 1 / 2), ("amelie", 1 / 5), ("ronin", 1 / 26)],
    ),
    "by the product": (
        Nearest(field="taste", vector=[2.0, 1.0, 0.0]),
        [("heat", 4.0), ("ronin", 1.0), ("amelie", 0.0), ("samurai", -4.0)],
    ),
    "of some": (
        Nearest(field="mood", vector=X, where=Term("genres", "war")),
        [("train", 1 / math.sqrt(3)), ("samurai", 0.0)],
    ),
    "of what has words": (
        Nearest(field="place", vector=[3.0, 4.0], where=Bool(must=[Match("plot", "a")], must_not=[Term("year", 1998)])),
        [("amelie", 1 / 14), ("heat", 1 / 26)],
    ),
    "of nothing": (Nearest(field="mood", vector=X, where=Term("code", "XX")), []),
    "the first two": (Nearest(field="mood", vector=X, limit=2), [("heat", 1.0), ("ronin", 3 / math.sqrt(10))]),
    "the first of some": (
        Nearest(field="mood", vector=X, limit=1, where=Term("colour", False)),
        [("train", 1 / math.sqrt(3))],
    ),
    "whoever may be missed": (
        Nearest(field="mood", vector=X, limit=2, approximate=True),
        [("heat", 1.0), ("ronin", 3 / math.sqrt(10))],
    ),
    "whoever of some may be missed": (
        Nearest(field="place", vector=[0.0, 0.0], limit=3, where=Term("genres", "crime"), approximate=True),
        [("heat", 1.0), ("ronin", 1 / 26)],
    ),
}

WRONG: dict[str, Nearest] = {
    "a field that is not there": Nearest(field="moood", vector=X),
    "a field of another kind": Nearest(field="year", vector=X),
    "too few numbers": Nearest(field="mood", vector=[1.0]),
    "too many numbers": Nearest(field="mood", vector=[*X, 1.0]),
    "no direction": Nearest(field="mood", vector=[0.0, 0.0, 0.0]),
    "no number": Nearest(field="mood", vector=[float("nan"), 0.0, 1.0]),
    "more than 32 bits": Nearest(field="mood", vector=[1e39, 0.0, 1.0]),
    "none": Nearest(field="mood", vector=X, limit=0),
    "too many": Nearest(field="mood", vector=X, limit=NEAREST_MAX + 1),
    "a wrong query": Nearest(field="mood", vector=X, where=Term("yaer", 1)),
    "fields that are not there": Nearest(field="mood", vector=X, fields=["yaer"]),
}

WRONG_VECTORS: dict[str, Any] = {
    "a number": 1.0,
    "words": ["a", "b"],
    "too few": [1.0],
    "too many": [1.0, 2.0, 3.0],
    "no number": [float("nan"), 1.0],
    "booleans": [True, False],
    "no direction": [0.0, 0.0],
}


async def nearest(search: Search, index: str, request: Nearest) -> list[tuple[str, float]]:
    """The ids and scores, rounded."""
    hits = await cast("VectorSearch", search).nearest(index, request)
    return [(hit.document.id, round(hit.score or 0.0, 3)) for hit in hits]


class Vectors:
    @requires(SearchCapability.VECTORS)
    @pytest.mark.parametrize("case", NEAREST)
    async def test_the_most_alike_come_first(self, search: Search, case: str) -> None:
        await show(search)
        request, expected = NEAREST[case]
        found = await nearest(search, NAME, request)
        assert [id for id, _ in found] == [id for id, _ in expected]
        assert [score for _, score in found] == pytest.approx([score for _, score in expected], abs=2e-3)

    @requires(SearchCapability.VECTORS)
    async def test_what_is_alike_comes_with_the_fields_that_were_asked_for(self, search: Search) -> None:
        await show(search)
        request = Nearest(field="mood", vector=X, limit=1, fields=["year"])
        (hit,) = await cast("VectorSearch", search).nearest(NAME, request)
        assert (hit.document.id, hit.document.fields) == ("heat", {"year": 1995})
        (whole,) = await cast("VectorSearch", search).nearest(NAME, Nearest(field="mood", vector=X, limit=1))
        assert whole.document.fields["mood"] == X

    @requires(SearchCapability.VECTORS)
    async def test_documents_without_a_vector_are_not_alike_to_any(self, search: Search) -> None:
        assert await found(search, Exists("mood")) == {"heat", "ronin", "samurai", "amelie", "train"}

    @requires(SearchCapability.VECTORS)
    async def test_vectors_go_and_change_with_their_documents(self, search: Search) -> None:
        index = own_name()
        fields = {"v": Field(kind=Kind.VECTOR, dimensions=2, similarity="euclidean"), "n": Field(kind=Kind.INTEGER)}
        await search.create_index(IndexSpec(name=index, fields=fields))
        await search.bulk(index, [Put(f"{n}", {"v": [n, 0], "n": n}) for n in range(5)])
        await search.refresh(index)
        asked = Nearest(field="v", vector=[0, 0], limit=3)
        assert [id for id, _ in await nearest(search, index, asked)] == ["0", "1", "2"]
        await search.bulk(index, [Delete("0"), Put("1", {"v": [9, 9]}), Put("2", {}), Put("5", {"v": [0.5, 0]})])
        await search.refresh(index)
        assert [id for id, _ in await nearest(search, index, asked)] == ["5", "3", "4"]
        assert await search.delete_where(index, Term("n", 3)) == 1
        assert [id for id, _ in await nearest(search, index, asked)] == ["5", "4", "1"]
        await search.drop_index(index)

    @requires(SearchCapability.VECTORS)
    async def test_a_put_that_was_not_applied_leaves_the_vector(self, search: Search) -> None:
        index = own_name()
        fields = {"v": Field(kind=Kind.VECTOR, dimensions=1, similarity="dot")}
        await search.create_index(IndexSpec(name=index, fields=fields))
        await search.bulk(index, [Put("1", {"v": [1]})])
        (outcome,) = await search.bulk(index, [Put("1", {"v": [7]}, Absent())])
        assert outcome.status is Status.CONFLICT
        await search.refresh(index)
        assert await nearest(search, index, Nearest(field="v", vector=[1])) == [("1", 1.0)]
        await search.drop_index(index)

    @requires(SearchCapability.VECTORS)
    @pytest.mark.parametrize("case", WRONG)
    async def test_likeness_that_makes_no_sense_is_refused(self, search: Search, case: str) -> None:
        await show(search)
        with pytest.raises(InvalidArgument):
            await cast("VectorSearch", search).nearest(NAME, WRONG[case])

    @requires(SearchCapability.VECTORS)
    @pytest.mark.parametrize("case", WRONG_VECTORS)
    async def test_what_is_no_vector_is_not_put(self, search: Search, case: str) -> None:
        index = own_name()
        fields = {"v": Field(kind=Kind.VECTOR, dimensions=2)}
        await search.create_index(IndexSpec(name=index, fields=fields))
        with pytest.raises(InvalidArgument):
            await search.bulk(index, [Put("1", {"v": WRONG_VECTORS[case]})])
        await search.drop_index(index)

    @requires(SearchCapability.VECTORS)
    async def test_all_that_matches_may_be_compared(self, search: Search) -> None:
        await show(search)
        request = Nearest(field="place", vector=[0.0, 0.0], where=All(), limit=NEAREST_MAX)
        assert len(await nearest(search, NAME, request)) == 4
