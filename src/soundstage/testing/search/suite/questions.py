"""Which documents match: each query over a few films."""

from __future__ import annotations

from typing import Any

import pytest

from soundstage.core.errors import InvalidArgument, SoundstageError, TooLarge
from soundstage.engines.search.evaluation import Analysed, matches
from soundstage.engines.search.port import CLAUSES_MAX, DEPTH_MAX, Field, IndexSpec, Kind, Put, Request, Search
from soundstage.engines.search.queries import (
    All,
    Bool,
    Exists,
    Match,
    Phrase,
    Prefix,
    Query,
    Range,
    Term,
    Terms,
)
from soundstage.testing.search.bench import found, ids_of, own_name
from soundstage.testing.search.films import DAY_US, NAME, show

EVERY = {"heat", "ronin", "samurai", "amelie", "train", "short", "blank"}
CRIME, WAR, DRAMA = Term("genres", "crime"), Term("genres", "war"), Term("genres", "drama")

QUESTIONS: dict[str, tuple[Query, set[str]]] = {
    "all": (All(), EVERY),
    "a keyword": (Term("code", "US-1995"), {"heat"}),
    "a keyword in other letters": (Term("code", "us-1995"), set()),
    "a part of a keyword": (Term("code", "US"), set()),
    "one of several keywords": (CRIME, {"heat", "ronin"}),
    "an integer": (Term("year", 1896), {"short"}),
    "one of several integers": (Term("prizes", 4), {"heat"}),
    "a double": (Term("rating", 8.3), {"heat", "amelie"}),
    "a double as an integer": (Term("rating", 0), {"blank"}),
    "the other zero": (Term("rating", -0.0), {"blank"}),
    "true": (Term("colour", True), {"heat", "ronin", "amelie"}),
    "false": (Term("colour", False), {"samurai", "train"}),
    "an instant": (Term("added", 1), {"samurai"}),
    "any of some": (Terms("code", ["US-1995", "JP-1954", "XX"]), {"heat", "samurai"}),
    "any of some integers": (Terms("year", [1964, 2001, 7]), {"train", "amelie"}),
    "any of none": (Terms("code", []), set()),
    "above": (Range(field="year", above=1995), {"ronin", "amelie"}),
    "at least": (Range(field="year", at_least=1995), {"heat", "ronin", "amelie"}),
    "below": (Range(field="year", below=1954), {"short"}),
    "at most": (Range(field="year", at_most=1954), {"short", "samurai"}),
    "between": (Range(field="year", above=1954, at_most=1998), {"train", "heat", "ronin"}),
    "between nothing": (Range(field="year", above=1998, below=1954), set()),
    "doubles between": (Range(field="rating", at_least=0, below=8.6), {"heat", "ronin", "amelie", "blank"}),
    "doubles below nothing": (Range(field="rating", below=0), {"train"}),
    "instants before": (Range(field="added", below=2 * DAY_US), {"samurai", "amelie"}),
    "one of several within": (Range(field="prizes", above=1, below=4), {"samurai"}),
    "no one of several within": (Range(field="prizes", above=2, below=4), set()),
    "keywords between": (Range(field="code", at_least="JP", below="US-1995"), {"samurai", "train"}),
    "keywords above": (Range(field="code", above="US-1995"), {"ronin"}),
    "keywords at most": (Range(field="code", at_most="FR-2001"), {"amelie", "short"}),
    "a beginning": (Prefix("code", "US-19"), {"heat", "ronin", "train"}),
    "a whole beginning": (Prefix("code", "US-1995"), {"heat"}),
    "a beginning in other letters": (Prefix("code", "us"), set()),
    "a beginning of several": (Prefix("genres", "c"), {"heat", "ronin", "amelie"}),
    "a beginning of a word": (Prefix("plot", "det"), {"heat"}),
    "a beginning of a word in any letters": (Prefix("title", "AMÉ"), {"amelie"}),
    "there is one": (Exists("colour"), {"heat", "ronin", "samurai", "amelie", "train"}),
    "there are several": (Exists("genres"), {"heat", "ronin", "samurai", "amelie", "train"}),
    "there are words": (Exists("title"), EVERY - {"blank"}),
    "there is an instant": (Exists("added"), {"heat", "ronin", "samurai", "amelie"}),
    "a word": (Match("plot", "thief"), {"heat", "ronin"}),
    "a word in any letters": (Match("title", "HEAT"), {"heat"}),
    "every word": (Match("plot", "a thief and a chase"), {"ronin"}),
    "any word": (Match("plot", "detective train", every=False), {"heat", "train", "short"}),
    "no words": (Match("plot", "…"), set()),
    "any of no words": (Match("plot", "", every=False), set()),
    "a part of a word": (Match("plot", "detect"), set()),
    "a character of a word": (Match("title", "侍"), {"samurai"}),
    "characters of a word": (Match("title", "七侍"), {"samurai"}),
    "characters next to each other": (Phrase("title", "七人"), {"samurai"}),
    "characters that are not next to each other": (Phrase("title", "七侍"), set()),
    "words next to each other": (Phrase("plot", "the train"), {"train", "short"}),
    "words in their order": (Phrase("plot", "train the"), {"train"}),
    "words not in their order": (Phrase("plot", "thief a"), set()),
    "one word next to nothing": (Phrase("plot", "thief"), {"heat", "ronin"}),
    "a phrase that repeats a word": (Phrase("plot", "the train the train"), {"train"}),
    "a phrase that repeats it more often": (Phrase("plot", "the train the train the train"), set()),
    "no phrase": (Phrase("plot", "!"), set()),
    "nothing asked": (Bool(), EVERY),
    "both": (Bool(must=[CRIME, DRAMA]), {"heat"}),
    "both by filter": (Bool(filter=[CRIME, DRAMA]), {"heat"}),
    "either": (Bool(should=[CRIME, WAR]), {"heat", "ronin", "samurai", "train"}),
    "two of three": (Bool(should=[CRIME, WAR, DRAMA], should_min=2), {"heat", "samurai"}),
    "neither": (Bool(must_not=[CRIME, WAR]), {"amelie", "short", "blank"}),
    "neither, though one would count": (Bool(should=[CRIME], must_not=[DRAMA]), {"ronin"}),
    "either, for nothing": (Bool(filter=[CRIME], should=[WAR]), {"heat", "ronin"}),
    "either, as well": (Bool(filter=[DRAMA], should=[WAR, CRIME], should_min=1), {"heat", "samurai"}),
    "either, none of which has to": (Bool(should=[CRIME], should_min=0), EVERY),
    "what is not there": (Bool(must_not=[Exists("year")]), {"blank"}),
    "not what is not so": (Bool(must_not=[Bool(must_not=[CRIME])]), {"heat", "ronin"}),
    "one within the other": (Bool(must=[Bool(should=[CRIME, WAR]), Term("colour", False)]), {"samurai", "train"}),
}

WRONG: dict[str, Query] = {
    "a field that is not there": Term("titel", "Heat"),
    "a text as a whole": Term("title", "Heat"),
    "words of a keyword": Match("code", "US"),
    "a phrase of a keyword": Phrase("code", "US"),
    "a value of another kind": Term("year", "1995"),
    "one value of another kind": Terms("year", [1995, 1.5]),
    "a bound of another kind": Range(field="year", above="a"),
    "no bound": Range(field="year"),
    "two bounds on a side": Range(field="year", above=1, at_least=1),
    "bounds of booleans": Range(field="colour", above=False),
    "bounds of texts": Range(field="title", above="a"),
    "the beginning of a number": Prefix("year", "19"),
    "no beginning": Prefix("code", ""),
    "the beginning of two words": Prefix("title", "le fab"),
    "the beginning of no word": Prefix("title", "!"),
    "more than there are": Bool(should=[CRIME], should_min=2),
    "fewer than none": Bool(should_min=-1),
    "one within the other": Bool(must=[Bool(filter=[Term("x", 1)])]),
}

TEXTS = [
    "The quick brown fox",
    "THE QUICK BROWN FOX!",
    "Straße in Groß-Gerau",
    "STRASSE",
    "naïve café",
    "nai\u0308ve cafe\u0301",
    "ﬁne ﬀort",
    "fine ffort",
    "don't can\u2019t",
    "3.14 1,000 0x1F",
    "snake_case camelCase",
    "İstanbul \u0131ss\u0131z",
    "ΟΔΟΣ οδός ὈΔΌΣ",
    "七人の侍",
    "カタカナ ひらがな",
    "हिन्दी में",
    "ภาษาไทย",
    "안녕하세요",
    "🎬 film 🎬",
    "a\u00adb zero\u200bwidth",
    "mail@example.org https://example.org/a-b?c=d",
    "Ⅻ ½ ² ①",
    "\ufdfa \uff46\uff55\uff4c\uff4c\u3000\uff57\uff49\uff44\uff54\uff48",
    "w" * 99,
    "w" * 100,
    "w" * 101,
    "w" * 5_000,
    "\u0301 \u0301a",
    "ǅ ǆ Ǆ",
    "x\ud7ff y\ue000",
    "",
]
"""Where analysers that engines bring go apart."""


class Questions:
    @pytest.mark.parametrize("case", QUESTIONS)
    async def test_a_query_finds(self, search: Search, case: str) -> None:
        query, expected = QUESTIONS[case]
        assert await found(search, query) == expected

    @pytest.mark.parametrize("case", WRONG)
    async def test_what_makes_no_sense_is_refused(self, search: Search, case: str) -> None:
        await show(search)
        with pytest.raises(InvalidArgument) as refusal:
            await search.search(NAME, Request(query=WRONG[case]))
        assert str(refusal.value.field).startswith("query")
        with pytest.raises(InvalidArgument):
            await search.delete_where(NAME, WRONG[case])

    async def test_as_many_clauses_as_there_may_be_are_asked(self, search: Search) -> None:
        codes = [f"X{number}" for number in range(CLAUSES_MAX - 2)]
        assert await found(search, Terms("code", [*codes, "US-1995"])) == {"heat"}
        words = " ".join(f"w{number}" for number in range(CLAUSES_MAX - 3))
        assert await found(search, Match("plot", f"{words} thief", every=False)) == {"heat", "ronin"}
        many: list[Query] = [Term("year", number) for number in range(CLAUSES_MAX - 2)]
        assert await found(search, Bool(should=[*many, Term("year", 1995)])) == {"heat"}

    async def test_more_clauses_are_refused(self, search: Search) -> None:
        codes = [f"X{number}" for number in range(CLAUSES_MAX)]
        words = " ".join(codes)
        many: list[Query] = [All()] * CLAUSES_MAX
        for query in (Terms("code", codes), Match("plot", words), Phrase("plot", words), Bool(should=many)):
            with pytest.raises(TooLarge):
                await found(search, query)

    @pytest.mark.parametrize(("depth", "error"), [(DEPTH_MAX, None), (DEPTH_MAX + 1, TooLarge)])
    async def test_queries_go_so_deep_and_no_deeper(
        self, search: Search, depth: int, error: type[SoundstageError] | None
    ) -> None:
        query: Query = CRIME
        for _ in range(depth - 1):
            query = Bool(must=[query])
        if error is None:
            assert await found(search, query) == {"heat", "ronin"}
        else:
            with pytest.raises(error):
                await found(search, query)

    async def test_words_are_the_same_everywhere(self, search: Search) -> None:
        index = own_name()
        await search.create_index(IndexSpec(name=index, fields={"text": Field(kind=Kind.TEXT)}))
        await search.bulk(index, [Put(f"{number}", {"text": text}) for number, text in enumerate(TEXTS)])
        await search.refresh(index)
        for text in TEXTS:
            for query in (Match("text", text), Match("text", text, every=False), Phrase("text", text)):
                expected = {f"{number}" for number, other in enumerate(TEXTS) if _alike(query, other)}
                assert (query, await ids_of(search, index, query)) == (query, expected)
        await search.drop_index(index)


def _alike(query: Any, text: str) -> bool:
    return matches(query, Analysed("1", {"text": text}, {"text": Field(kind=Kind.TEXT)}))
