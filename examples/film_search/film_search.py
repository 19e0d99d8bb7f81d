"""The 1,682 films of MovieLens, found by the words of their titles, by genre and by year, and counted."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterable

from soundstage.core.environment import SystemEnvironment
from soundstage.datasets import fetch
from soundstage.datasets.movielens import Film, films
from soundstage.engines.search.port import Field, IndexSpec, Kind, Page, Put, Request, Search
from soundstage.engines.search.queries import (
    Aggregation,
    Bool,
    Buckets,
    HistogramBuckets,
    Match,
    Prefix,
    Query,
    Range,
    Sort,
    Term,
    TermBuckets,
)
from soundstage.engines.search.tantivy import TantivyOptions, TantivySearch

SHOWN = "films"
FIELDS = {
    "title": Field(kind=Kind.TEXT),
    "name": Field(kind=Kind.KEYWORD),
    "genres": Field(kind=Kind.KEYWORD, many=True),
    "year": Field(kind=Kind.INTEGER),
}


def document(film: Film) -> Put:
    """A film as it is indexed: its title to be searched, and once more as a whole to be sorted by."""
    fields = {"title": film.title, "name": film.title, "genres": list(dict.fromkeys(film.genres))}
    return Put(f"{film.film_id}", fields if film.year is None else {**fields, "year": film.year})


async def build(search: Search, number: int, found: Iterable[Film]) -> int:
    """The films are in an index of their own, which is then the one that is searched; returns how many were taken."""
    name = f"films-{number}"
    await search.create_index(IndexSpec(name=name, fields=FIELDS))
    outcomes = await search.bulk(name, [document(film) for film in found])
    await search.refresh(name)
    await search.point(SHOWN, name)
    return sum(outcome.status == "applied" for outcome in outcomes)


async def titles(search: Search, query: Query, limit: int = 5) -> list[str]:
    """The first titles that match, by year and then by name."""
    page = await search.search(SHOWN, Request(query=query, sort=[Sort("year"), Sort("name")], limit=limit))
    return [hit.document.fields["title"] for hit in page.hits]


async def counted(search: Search) -> Page:
    """Films by genre, and by decade."""
    aggregations: dict[str, Aggregation] = {
        "genres": TermBuckets(field="genres", limit=3),
        "decades": HistogramBuckets(field="year", width=10),
    }
    return await search.search(SHOWN, Request(limit=0, aggregations=aggregations))


def shown(page: Page, name: str) -> str:
    """The buckets, in a line."""
    found = page.aggregations[name]
    each = found.buckets if isinstance(found, Buckets) else []
    return ", ".join(f"{bucket.key} {bucket.count}".replace(".0 ", " ") for bucket in each[-3:])


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        search = TantivySearch(folder, TantivyOptions(), SystemEnvironment())
        await search.start()
        print(f"{await build(search, 1, films(fetch('movielens-100k')))} films")
        print("star wars:", await titles(search, Match("title", "STAR wars")))
        war = Bool(must=[Term("genres", "War"), Prefix("title", "gr")], filter=[Range(field="year", below=1990)])
        print("gr… of war:", await titles(search, war))
        page = await counted(search)
        print("genres:", shown(page, "genres"))
        print("decades:", shown(page, "decades"))
        await search.stop()


if __name__ == "__main__":
    asyncio.run(main())
