"""What is written: whole documents, under conditions, each action with an outcome of its own."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from soundstage.core.errors import InvalidArgument, SoundstageError, TooLarge
from soundstage.engines.search.port import (
    BULK_MAX_ACTIONS,
    DOCUMENT_MAX_BYTES,
    GET_MAX_IDS,
    ID_MAX_BYTES,
    KEYWORD_MAX_BYTES,
    VALUES_MAX,
    VISIBLE_WITHIN_S,
    Absent,
    Action,
    Delete,
    Document,
    Outcome,
    Put,
    Search,
    Status,
    Unchanged,
)
from soundstage.engines.search.queries import All, Range, Term
from soundstage.testing.search.bench import PassTime, ids_of
from soundstage.testing.search.histories import HISTORIES, compare_history

IDS = {
    "one character": "a",
    "spaces": " a b ",
    "what means something elsewhere": '_all/?*"\\<>|,#:%20 {"a":1}',
    "letters of others": "七人の侍 Ünïcode 🎬",
    "zeros and ends of lines": "a\0b\r\nc\t",
    "longest": "i" * ID_MAX_BYTES,
    "longest in bytes": "侍" * (ID_MAX_BYTES // 3),
}

DOCUMENTS: dict[str, dict[str, Any]] = {
    "no fields": {},
    "an empty list": {"genres": []},
    "an empty text": {"title": "", "code": ""},
    "the least and the greatest": {"year": 1 - (1 << 63), "prizes": [(1 << 63) - 2, 0], "added": -(1 << 53)},
    "small and large doubles": {"rating": 5e-324},
    "the greatest double": {"rating": -1.7976931348623157e308},
    "texts of any characters": {"title": "a\0b\n\"'\\ \u2028 🎬 \x7f", "code": "\0\n\"'\\ 🎬"},
    "the longest keyword": {"code": "k" * KEYWORD_MAX_BYTES},
    "as many values as there may be": {"prizes": list(range(VALUES_MAX))},
}

WRONG: dict[str, dict[str, Any]] = {
    "a field that is not there": {"tilte": "Heat"},
    "a number for a text": {"title": 1},
    "nothing for a text": {"title": None},
    "a boolean for an integer": {"year": True},
    "a double for an integer": {"year": 1.0},
    "an integer of more than 64 bits": {"year": 1 << 63},
    "the greatest of 64 bits": {"year": (1 << 63) - 1},
    "a string for a number": {"rating": "8"},
    "no number": {"rating": float("nan")},
    "an infinite number": {"rating": float("inf")},
    "a number for a boolean": {"colour": 1},
    "an instant too far away": {"added": (1 << 53) + 1},
    "one value for several": {"genres": "crime"},
    "several values for one": {"code": ["a"]},
    "a value twice": {"genres": ["crime", "crime"]},
    "an object": {"genres": [{"a": 1}]},
}


class Writes:
    async def test_what_was_put_is_got_at_once_as_it_was(self, search: Search, plain: str) -> None:
        (outcome,) = await search.bulk(plain, [Put("heat", {"title": "Heat", "year": 1995, "rating": 8})])
        assert outcome == Outcome(Status.APPLIED, outcome.revision)
        assert await search.get(plain, ["heat", "ronin"]) == [
            Document("heat", {"title": "Heat", "year": 1995, "rating": 8.0}, outcome.revision),
            None,
        ]

    @pytest.mark.parametrize("case", IDS)
    async def test_an_id_may_be_any_string(self, search: Search, plain: str, case: str) -> None:
        await search.bulk(plain, [Put(IDS[case], {"title": case})])
        await search.refresh(plain)
        assert [found and found.fields for found in await search.get(plain, [IDS[case]])] == [{"title": case}]
        assert await ids_of(search, plain, All()) == {IDS[case]}
        assert [each.status for each in await search.bulk(plain, [Delete(IDS[case])])] == [Status.APPLIED]
        assert await search.get(plain, [IDS[case]]) == [None]

    @pytest.mark.parametrize("case", DOCUMENTS)
    async def test_what_fields_may_have_comes_back(self, search: Search, plain: str, case: str) -> None:
        await search.bulk(plain, [Put("1", DOCUMENTS[case])])
        await search.refresh(plain)
        assert [found and found.fields for found in await search.get(plain, ["1"])] == [DOCUMENTS[case]]
        assert await ids_of(search, plain, All()) == {"1"}

    async def test_a_put_replaces_all_of_the_document(self, search: Search, plain: str) -> None:
        await search.bulk(plain, [Put("1", {"title": "Heat", "year": 1995})])
        await search.bulk(plain, [Put("1", {"title": "Ronin"})])
        await search.refresh(plain)
        assert [found and found.fields for found in await search.get(plain, ["1"])] == [{"title": "Ronin"}]
        assert await ids_of(search, plain, Term("year", 1995)) == set()

    async def test_actions_are_made_in_their_order(self, search: Search, plain: str) -> None:
        actions: list[Action] = [Put("1", {"year": 1}), Delete("1"), Put("1", {"year": 2}), Put("1", {"year": 3})]
        outcomes = await search.bulk(plain, actions)
        assert [each.status for each in outcomes] == [Status.APPLIED] * 4
        (kept,) = await search.get(plain, ["1"])
        assert kept == Document("1", {"year": 3}, outcomes[3].revision)
        await search.refresh(plain)
        assert await ids_of(search, plain, All()) == {"1"}

    async def test_each_action_has_an_outcome_of_its_own(self, search: Search, plain: str) -> None:
        outcomes = await search.bulk(
            plain,
            [
                Put("1", {"year": 1}),
                Put("1", {"year": 2}, Absent()),
                Delete("2"),
                Put("3", {"year": 3}, Unchanged("0")),
                Put("3", {"year": 3}, Unchanged("None")),
                Put("3", {"year": 3}, Absent()),
            ],
        )
        assert [each.status for each in outcomes] == [
            Status.APPLIED,
            Status.CONFLICT,
            Status.MISSING,
            Status.CONFLICT,
            Status.CONFLICT,
            Status.APPLIED,
        ]
        assert [bool(each.revision) for each in outcomes] == [True, False, False, False, False, True]

    async def test_no_actions_have_no_outcomes(self, search: Search, plain: str) -> None:
        assert await search.bulk(plain, []) == []
        assert await search.get(plain, []) == []

    async def test_unchanged_replaces_only_what_was_seen(self, search: Search, plain: str) -> None:
        (first,) = await search.bulk(plain, [Put("1", {"year": 1})])
        (second,) = await search.bulk(plain, [Put("1", {"year": 2}, Unchanged(first.revision))])
        (third,) = await search.bulk(plain, [Put("1", {"year": 3}, Unchanged(first.revision))])
        assert [second.status, third.status] == [Status.APPLIED, Status.CONFLICT]
        assert len({first.revision, second.revision}) == 2

    async def test_unchanged_deletes_only_what_was_seen(self, search: Search, plain: str) -> None:
        (first,) = await search.bulk(plain, [Put("1", {"year": 1})])
        (second,) = await search.bulk(plain, [Put("1", {"year": 2})])
        outcomes = await search.bulk(
            plain, [Delete("1", Unchanged(first.revision)), Delete("1", Unchanged(second.revision))]
        )
        assert [each.status for each in outcomes] == [Status.CONFLICT, Status.APPLIED]

    async def test_what_is_gone_is_not_unchanged(self, search: Search, plain: str) -> None:
        (first,) = await search.bulk(plain, [Put("1", {"year": 1})])
        await search.bulk(plain, [Delete("1")])
        outcomes = await search.bulk(
            plain, [Put("1", {"year": 2}, Unchanged(first.revision)), Delete("1", Unchanged(first.revision))]
        )
        assert [each.status for each in outcomes] == [Status.CONFLICT, Status.CONFLICT]

    @pytest.mark.parametrize("revision", ["", "x", "1.", "-1.1", "99999999999999999999.1", "0.0", "ä"])
    async def test_what_is_no_revision_is_that_of_no_document(self, search: Search, plain: str, revision: str) -> None:
        await search.bulk(plain, [Put("1", {"year": 1})])
        (outcome,) = await search.bulk(plain, [Put("1", {"year": 2}, Unchanged(revision))])
        assert outcome.status is Status.CONFLICT

    async def test_of_many_who_put_what_is_absent_one_does(self, search: Search, plain: str) -> None:
        calls = (search.bulk(plain, [Put("1", {"year": n}, Absent())]) for n in range(16))
        outcomes = [outcome for (outcome,) in await asyncio.gather(*calls)]
        won = [number for number, each in enumerate(outcomes) if each.status is Status.APPLIED]
        assert len(won) == 1
        assert [found and found.fields for found in await search.get(plain, ["1"])] == [{"year": won[0]}]

    async def test_what_was_applied_is_visible_after_a_refresh(self, search: Search, plain: str) -> None:
        await search.bulk(plain, [Put("1", {"year": 1}), Put("2", {"year": 2})])
        await search.refresh(plain)
        assert await ids_of(search, plain, All()) == {"1", "2"}
        await search.bulk(plain, [Delete("1"), Put("2", {"year": 3})])
        await search.refresh(plain)
        assert await ids_of(search, plain, All()) == {"2"}
        assert await ids_of(search, plain, Term("year", 2)) == set()

    @pytest.mark.slow
    async def test_what_was_applied_is_visible_after_a_second(
        self, search: Search, plain: str, pass_time: PassTime
    ) -> None:
        await search.bulk(plain, [Put("1", {"year": 1})])
        for _ in range(20):
            await pass_time(VISIBLE_WITHIN_S)
            if await ids_of(search, plain, All()):
                break
        assert await ids_of(search, plain, All()) == {"1"}

    async def test_what_matches_is_deleted_and_the_rest_stays(self, search: Search, plain: str) -> None:
        await search.bulk(plain, [Put(f"{n}", {"year": n}) for n in range(30)])
        assert await search.delete_where(plain, Range(field="year", at_least=10)) == 20
        assert await ids_of(search, plain, All()) == {f"{n}" for n in range(10)}
        assert await search.get(plain, ["10"]) == [None]
        assert await search.delete_where(plain, Range(field="year", at_least=10)) == 0

    async def test_no_more_is_deleted_than_was_asked_for(self, search: Search, plain: str) -> None:
        await search.bulk(plain, [Put(f"{n}", {"year": 1}) for n in range(7)])
        assert [await search.delete_where(plain, Term("year", 1), limit=3) for _ in range(3)] == [3, 3, 1]

    @pytest.mark.parametrize("case", WRONG)
    async def test_a_wrong_document_refuses_the_call_before_anything_is_made(
        self, search: Search, plain: str, case: str
    ) -> None:
        with pytest.raises(InvalidArgument) as refusal:
            await search.bulk(plain, [Put("1", {"year": 1}), Put("2", WRONG[case])])
        assert str(refusal.value.field).startswith("actions[1].fields.")
        assert await search.get(plain, ["1", "2"]) == [None, None]

    async def test_half_a_character_is_refused(self, search: Search, plain: str) -> None:
        with pytest.raises(InvalidArgument):
            await search.bulk(plain, [Put("1", {"title": "\ud800"})])

    @pytest.mark.parametrize(
        ("id", "error"), [("", InvalidArgument), ("\ud800", InvalidArgument), ("i" * (ID_MAX_BYTES + 1), TooLarge)]
    )
    async def test_what_is_no_id_is_refused(
        self, search: Search, plain: str, id: str, error: type[SoundstageError]
    ) -> None:
        for call in (search.bulk(plain, [Put(id, {})]), search.bulk(plain, [Delete(id)]), search.get(plain, [id])):
            with pytest.raises(error):
                await call

    async def test_more_than_a_call_takes_is_refused(self, search: Search, plain: str) -> None:
        large = {"plot": "p" * (DOCUMENT_MAX_BYTES - 100)}
        for actions in (
            [Delete(f"{n}") for n in range(BULK_MAX_ACTIONS + 1)],
            [Put("1", {"plot": "p" * DOCUMENT_MAX_BYTES})],
            [Put(f"{n}", large) for n in range(17)],
            [Put("1", {"code": "k" * (KEYWORD_MAX_BYTES + 1)})],
            [Put("1", {"prizes": list(range(VALUES_MAX + 1))})],
        ):
            with pytest.raises(TooLarge):
                await search.bulk(plain, actions)
        with pytest.raises(TooLarge):
            await search.get(plain, ["1"] * (GET_MAX_IDS + 1))

    @pytest.mark.slow
    async def test_any_history_of_writes_is_as_the_specification_has_it(self, search: Search, plain: str) -> None:
        for seed in range(HISTORIES):
            await compare_history(search, plain, seed)
