"""In which order documents come, on how many pages, and with what of them."""

from __future__ import annotations

import pytest

from soundstage.core.errors import InvalidArgument, SoundstageError, TooLarge
from soundstage.engines.search.port import (
    DOCUMENT_MAX_BYTES,
    PAGE_MAX_BYTES,
    PAGE_MAX_HITS,
    Delete,
    Put,
    Request,
    Search,
)
from soundstage.engines.search.queries import Bool, Match, Prefix, Sort, Term
from soundstage.testing.search.bench import all_pages, in_order, ordered
from soundstage.testing.search.films import FILMS, NAME, show

ORDERS: dict[str, tuple[tuple[Sort, ...], list[str]]] = {
    "an integer": (
        (Sort("year"),),
        ["short", "samurai", "train", "heat", "ronin", "amelie", "blank"],
    ),
    "an integer, down": (
        (Sort("year", descending=True),),
        ["amelie", "ronin", "heat", "train", "samurai", "short", "blank"],
    ),
    "a keyword": (
        (Sort("code"),),
        ["short", "amelie", "samurai", "train", "heat", "ronin", "blank"],
    ),
    "a double": (
        (Sort("rating"),),
        ["train", "blank", "ronin", "amelie", "heat", "samurai", "short"],
    ),
    "a boolean, then an id": (
        (Sort("colour"),),
        ["samurai", "train", "amelie", "heat", "ronin", "blank", "short"],
    ),
    "a boolean, down, then an instant": (
        (Sort("colour", descending=True), Sort("added")),
        ["amelie", "ronin", "heat", "samurai", "train", "blank", "short"],
    ),
    "a double, then an integer, down": (
        (Sort("rating"), Sort("year", descending=True)),
        ["train", "blank", "ronin", "amelie", "heat", "samurai", "short"],
    ),
    "four keys": (
        (Sort("colour"), Sort("rating", descending=True), Sort("code"), Sort("year")),
        ["samurai", "train", "amelie", "heat", "ronin", "blank", "short"],
    ),
}


class Orders:
    @pytest.mark.parametrize("case", ORDERS)
    async def test_documents_come_by(self, search: Search, case: str) -> None:
        sort, expected = ORDERS[case]
        assert await ordered(search, *sort) == expected

    @pytest.mark.parametrize("case", ORDERS)
    async def test_pages_of_any_size_are_the_whole_by(self, search: Search, case: str) -> None:
        await show(search)
        sort, expected = ORDERS[case]
        for limit in (1, 2, 3, 7):
            pages = await all_pages(search, NAME, Request(sort=sort, limit=limit))
            assert [id for page in pages for id in in_order(page)] == expected
            assert [page.total for page in pages] == [len(FILMS)] * len(pages)
            assert len(pages) == -(-len(FILMS) // limit)

    async def test_pages_of_a_query_have_only_what_matches(self, search: Search) -> None:
        await show(search)
        request = Request(query=Term("genres", "war"), sort=[Sort("year")], limit=1)
        pages = await all_pages(search, NAME, request)
        assert [in_order(page) for page in pages] == [["samurai"], ["train"]]

    async def test_what_does_not_change_is_on_one_page_whatever_is_written_meanwhile(
        self, search: Search, plain: str
    ) -> None:
        await search.bulk(plain, [Put(f"{n:02}", {"year": n // 3}) for n in range(20)])
        await search.refresh(plain)
        request = Request(sort=[Sort("year", descending=True)], limit=5)
        first = await search.search(plain, request)
        await search.bulk(
            plain, [Delete(id) for id in in_order(first)] + [Put("99", {"year": 99}), Put("00b", {"year": 1})]
        )
        await search.refresh(plain)
        assert first.after is not None
        rest = await all_pages(search, plain, Request(sort=request.sort, limit=5, after=first.after))
        seen = in_order(first) + [id for page in rest for id in in_order(page)]
        assert sorted(set(seen) - {"00b", "99"}) == [f"{n:02}" for n in range(20)]
        assert len(seen) == len(set(seen))

    async def test_a_page_ends_where_its_bytes_do(self, search: Search, plain: str) -> None:
        size = DOCUMENT_MAX_BYTES - 1_000
        for start in (0, 10, 20):
            actions = [Put(f"{n}", {"plot": "p" * size, "year": n}) for n in range(start, start + 10)]
            await search.bulk(plain, actions)
        await search.refresh(plain)
        for request in (Request(sort=[Sort("year")], limit=100), Request(limit=100)):
            pages = await all_pages(search, plain, request)
            assert {len(page.hits) for page in pages[:-1]} == {PAGE_MAX_BYTES // size}
            assert sorted(id for page in pages for id in in_order(page)) == sorted(f"{n}" for n in range(30))

    async def test_without_an_order_the_best_come_first(self, search: Search) -> None:
        await show(search)
        page = await search.search(NAME, Request(query=Match("plot", "train arrives", every=False)))
        assert in_order(page) == ["short", "train"]
        scores = [hit.score or 0.0 for hit in page.hits]
        assert scores == sorted(scores, reverse=True)
        assert all(score > 0 for score in scores)

    async def test_what_should_match_comes_before_what_only_has_to(self, search: Search) -> None:
        await show(search)
        query = Bool(must=[Match("plot", "thief")], should=[Match("title", "ronin")])
        assert in_order(await search.search(NAME, Request(query=query))) == ["ronin", "heat"]

    async def test_pages_by_score_are_the_whole(self, search: Search) -> None:
        await show(search)
        query = Match("plot", "the a and", every=False)
        whole = await search.search(NAME, Request(query=query, limit=100))
        for limit in (1, 2, 5):
            pages = await all_pages(search, NAME, Request(query=query, limit=limit))
            assert [id for page in pages for id in in_order(page)] == in_order(whole)
        assert whole.total == len(whole.hits) == 5

    async def test_sorted_hits_have_no_score(self, search: Search) -> None:
        await show(search)
        page = await search.search(NAME, Request(sort=[Sort("year")]))
        assert {hit.score for hit in page.hits} == {None}

    async def test_documents_come_with_the_fields_that_were_asked_for(self, search: Search) -> None:
        await show(search)
        query = Term("code", "US-1998")
        for fields, expected in (
            (["year", "genres", "prizes"], {"year": 1998, "genres": ["crime"]}),
            ([], {}),
            (None, FILMS["ronin"]),
        ):
            page = await search.search(NAME, Request(query=query, fields=fields))
            (hit,) = page.hits
            assert {name: hit.document.fields.get(name) for name in expected} == expected
            assert fields is None or hit.document.fields.keys() == expected.keys()

    async def test_hits_have_the_revision_that_changes_ask_for(self, search: Search, plain: str) -> None:
        (outcome,) = await search.bulk(plain, [Put("1", {"year": 1})])
        await search.refresh(plain)
        for request in (Request(), Request(sort=[Sort("year")], fields=[])):
            (hit,) = (await search.search(plain, request)).hits
            assert hit.document.revision == outcome.revision

    async def test_a_page_of_nothing_still_counts(self, search: Search) -> None:
        await show(search)
        page = await search.search(NAME, Request(query=Term("genres", "crime"), limit=0))
        assert (page.hits, page.total, page.after) == ([], 2, None)

    async def test_nobody_counts_who_was_not_asked_to(self, search: Search) -> None:
        await show(search)
        assert (await search.search(NAME, Request(count=False))).total is None

    async def test_the_end_of_another_page_is_refused(self, search: Search) -> None:
        await show(search)
        sort = [Sort("year")]
        ends = [
            (await search.search(NAME, request)).after
            for request in (
                Request(sort=sort, limit=1),
                Request(limit=1),
                Request(query=Prefix("code", "US"), sort=sort, limit=1),
                Request(sort=[Sort("year", descending=True)], limit=1),
            )
        ]
        for after in (*ends[1:], b"", b"x" * 40):
            with pytest.raises(InvalidArgument):
                await search.search(NAME, Request(sort=sort, limit=1, after=after))
        with pytest.raises(InvalidArgument):
            await search.search(NAME, Request(limit=1, after=ends[0]))

    @pytest.mark.parametrize(
        ("request_", "error"),
        [
            (Request(limit=-1), InvalidArgument),
            (Request(limit=PAGE_MAX_HITS + 1), InvalidArgument),
            (Request(sort=[Sort("title")]), InvalidArgument),
            (Request(sort=[Sort("genres")]), InvalidArgument),
            (Request(sort=[Sort("yaer")]), InvalidArgument),
            (Request(sort=[Sort("year"), Sort("year", descending=True)]), InvalidArgument),
            (Request(sort=[Sort(each) for each in ("year", "code", "rating", "colour", "added")]), TooLarge),
            (Request(fields=["yaer"]), InvalidArgument),
        ],
    )
    async def test_an_order_that_makes_no_sense_is_refused(
        self, search: Search, request_: Request, error: type[SoundstageError]
    ) -> None:
        await show(search)
        with pytest.raises(error):
            await search.search(NAME, request_)
