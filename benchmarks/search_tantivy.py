"""How much does the search port cost over bare Tantivy? Documents of 20 words written, and words searched.

The rival holds the same documents in one index and does nothing else: no check of fields, no conditions, no words but
its default tokenizer's; it commits as often. Both run in one process and in turns, ours by its threads and event loop.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Sequence
from typing import Any

import msgspec
import tantivy

from benchmarks.report import Figure, figure, options, show, turns
from benchmarks.search_opensearch import FIELDS, WORDS, documents
from soundstage.core.environment import SystemEnvironment
from soundstage.engines.search.port import IndexSpec, Put, Request
from soundstage.engines.search.queries import Match
from soundstage.engines.search.tantivy import TantivyOptions, TantivySearch


class Scale(msgspec.Struct, frozen=True):
    """How much is done: `documents` in each turn, in commits of `batch`; `searches`."""

    rounds: int
    documents: int
    batch: int = 2_000
    searches: int = 500


FULL = Scale(rounds=7, documents=20_000)
QUICK = Scale(rounds=3, documents=6_000)


class Bare:
    """Tantivy and nothing else."""

    def __init__(self, folder: str) -> None:
        builder = tantivy.SchemaBuilder()
        builder.add_text_field("id", stored=True, tokenizer_name="raw", index_option="basic")
        builder.add_text_field("title", stored=True)
        builder.add_text_field("genre", stored=True, fast=True, tokenizer_name="raw", index_option="basic")
        builder.add_integer_field("year", stored=True, indexed=True, fast=True)
        builder.add_float_field("rating", stored=True, indexed=True, fast=True)
        self._schema = builder.build()
        self._index = tantivy.Index(self._schema, folder)
        self._writer = self._index.writer(32 << 20, 1)

    def write(self, start: int, batch: Sequence[dict[str, Any]]) -> None:
        """The documents are committed."""
        for number, each in enumerate(batch, start):
            self._writer.delete_documents_by_term("id", f"{number}")
            made = tantivy.Document()
            made.add_text("id", f"{number}")
            made.add_text("title", each["title"])
            made.add_text("genre", each["genre"])
            made.add_integer("year", each["year"])
            made.add_float("rating", each["rating"])
            self._writer.add_document(made)
        self._writer.commit()
        self._index.reload()

    def search(self, word: str) -> int:
        """How many of the first ten there are, read."""
        searcher = self._index.searcher()
        query = tantivy.Query.term_query(self._schema, "title", word)
        return len([searcher.doc(address).to_dict() for _, address in searcher.search(query, 10, count=False).hits])


async def measured(scale: Scale, folder: str) -> list[Figure]:
    """All figures, in indexes below `folder`."""
    ours = TantivySearch(f"{folder}/ours", TantivyOptions(), SystemEnvironment())
    await ours.start()
    await ours.create_index(IndexSpec(name="films", fields=FIELDS))
    with tempfile.TemporaryDirectory(dir=folder) as place:
        bare = Bare(place)
        every = documents(scale.documents)
        puts = [Put(f"{number}", each) for number, each in enumerate(every)]

        async def our_writes() -> float:
            began = time.perf_counter()
            for start in range(0, len(puts), scale.batch):
                await ours.bulk("films", puts[start : start + scale.batch])
            return len(puts) / (time.perf_counter() - began)

        async def bare_writes() -> float:
            began = time.perf_counter()
            for start in range(0, len(every), scale.batch):
                bare.write(start, every[start : start + scale.batch])
            return len(every) / (time.perf_counter() - began)

        async def our_searches() -> float:
            began = time.perf_counter()
            for number in range(scale.searches):
                await ours.search("films", Request(query=Match("title", f"word{number}"), count=False))
            return scale.searches / (time.perf_counter() - began)

        async def bare_searches() -> float:
            began = time.perf_counter()
            for number in range(scale.searches):
                bare.search(f"word{number}")
            return scale.searches / (time.perf_counter() - began)

        written, bare_written = await turns(scale.rounds, our_writes, bare_writes)
        found, bare_found = await turns(scale.rounds, our_searches, bare_searches)
    await ours.stop()
    return [
        figure("search_tantivy.write", written, bare_written, "documents/s", "higher"),
        figure("search_tantivy.match", found, bare_found, "searches/s", "higher"),
    ]


def measure(scale: Scale) -> list[Figure]:
    """All figures, in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(measured(scale, folder))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    chosen = options(__doc__ or "", arguments)
    title = f"Documents of {WORDS} words on Tantivy, beside it alone"
    show(title, measure(QUICK if chosen.quick else FULL))


if __name__ == "__main__":
    main()
