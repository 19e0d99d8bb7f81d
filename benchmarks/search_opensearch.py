"""How much does the search port cost over OpenSearch's bare interface? Documents of 20 words, in bulk.

The rival is the same HTTP client and does nothing else: no check of fields, no outcomes. In `bulk` it does the same
work: it sends what the port sends, the words of each text and its id beside it, which it has ready, to an index that
is mapped so and shows what is new each second. In `bulk_alone` it sends the document alone, and the server makes the
words, by its standard analyser: that is what it costs besides that texts are cut into words alike on every engine. All
send to indexes of one shard and want answers that are not compressed, from one process and in turns, after two of each
that do not count: the server compiles itself meanwhile. `soundstage.servers` brings and starts the server.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import httpx2
import msgspec

from benchmarks.report import Figure, figure, options, show, turns
from soundstage.core.environment import SystemEnvironment
from soundstage.engines.search.opensearch import OpenSearchSearch, parse_address
from soundstage.engines.search.port import Field, IndexSpec, Kind, Put, Request
from soundstage.engines.search.queries import Match
from soundstage.servers.cluster import Cluster

WORDS = 20
TARGET = 0.9
FIELDS = {
    "title": Field(kind=Kind.TEXT),
    "genre": Field(kind=Kind.KEYWORD),
    "year": Field(kind=Kind.INTEGER),
    "rating": Field(kind=Kind.DOUBLE),
}
PLAIN = {
    "title": {"type": "text"},
    "genre": {"type": "keyword"},
    "year": {"type": "long"},
    "rating": {"type": "double"},
}
SAME = PLAIN | {
    "title": {"type": "object", "enabled": False},
    "ID": {"type": "keyword", "index": False},
    "WORDS": {"properties": {"title": {"type": "text", "analyzer": "whitespace"}}},
}
"""As the port has it."""


class Scale(msgspec.Struct, frozen=True):
    """How much is done: `documents` in each turn, in calls of `batch`, by `callers` at once; `searches`."""

    rounds: int
    documents: int
    batch: int = 1_000
    callers: int = 2
    searches: int = 200
    warm: int = 2


FULL = Scale(rounds=25, documents=6_000)
QUICK = Scale(rounds=9, documents=6_000)


def documents(count: int) -> list[dict[str, Any]]:
    """Documents, the same each time."""
    chance = random.Random(7)
    vocabulary = [f"word{number}" for number in range(5_000)]
    return [
        {
            "title": " ".join(chance.choices(vocabulary, k=WORDS)),
            "genre": f"genre {chance.randrange(20)}",
            "year": chance.randrange(1900, 2027),
            "rating": chance.random() * 10,
        }
        for _ in range(count)
    ]


class Bare:
    """The interface of OpenSearch and nothing else, of an index that is mapped so."""

    def __init__(self, base: str, index: str, mappings: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
        headers = {"accept-encoding": "identity"}
        self._client = httpx2.AsyncClient(base_url=base, timeout=60, trust_env=False, headers=headers)
        self._index = index
        self._mappings = mappings
        self._settings = settings

    async def create(self) -> None:
        body = {
            "settings": {"number_of_shards": 1, "number_of_replicas": 0, **self._settings},
            "mappings": {"properties": self._mappings},
        }
        (await self._client.put(f"/{self._index}", json=body)).raise_for_status()

    async def bulk(self, start: int, batch: Sequence[dict[str, Any]]) -> None:
        lines: list[bytes] = []
        for number, each in enumerate(batch, start):
            lines += [msgspec.json.encode({"index": {"_id": f"{number}"}}), msgspec.json.encode(each)]
        body = b"\n".join(lines) + b"\n"
        headers = {"content-type": "application/x-ndjson"}
        answer = await self._client.post(f"/{self._index}/_bulk", content=body, headers=headers)
        assert not msgspec.json.decode(answer.content)["errors"]

    async def search(self, word: str) -> int:
        body = {"query": {"match": {"title": word}}}
        answer = await self._client.post(f"/{self._index}/_search", json=body)
        return len(msgspec.json.decode(answer.content)["hits"]["hits"])

    async def close(self) -> None:
        await self._client.aclose()


async def bulks(scale: Scale, every: Sequence[Any], bulk: Callable[[int, Sequence[Any]], Awaitable[object]]) -> float:
    """Documents per second."""
    starts = iter(range(0, len(every), scale.batch))

    async def caller() -> None:
        for start in starts:
            await bulk(start, every[start : start + scale.batch])

    began = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(scale.callers)))
    return len(every) / (time.perf_counter() - began)


async def searches(scale: Scale, search: Callable[[str], Awaitable[object]]) -> float:
    """Searches per second, one after the other."""
    began = time.perf_counter()
    for number in range(scale.searches):
        await search(f"word{number}")
    return scale.searches / (time.perf_counter() - began)


async def measured(scale: Scale, url: str) -> list[Figure]:
    """All figures, against the server at that address."""
    space = f"bench{time.time_ns()}"
    address = parse_address("bench", urlsplit(f"{url}/{space}"), {"patience_s": 60.0}, None)
    ours = OpenSearchSearch(address, SystemEnvironment())
    bare = Bare(address.bases[0], f"{space}-bare", PLAIN, {})
    same = Bare(address.bases[0], f"{space}-same", SAME, {"refresh_interval": "1s"})
    await ours.start()
    await ours.create_index(IndexSpec(name="films", fields=FIELDS))
    await bare.create()
    await same.create()
    every = documents(scale.documents)
    ready = [each | {"ID": f"{number}", "WORDS": {"title": each["title"]}} for number, each in enumerate(every)]
    puts = [Put(f"{number}", each) for number, each in enumerate(every)]

    async def our_bulk(start: int, batch: Sequence[Any]) -> None:
        await ours.bulk("films", batch)

    async def our_search(word: str) -> None:
        await ours.search("films", Request(query=Match("title", word), count=False))

    async def our_bulks() -> float:
        return await bulks(scale, puts, our_bulk)

    mine, rival, alone = await turns(
        scale.rounds,
        our_bulks,
        lambda: bulks(scale, ready, same.bulk),
        lambda: bulks(scale, every, bare.bulk),
        warm=scale.warm,
    )
    figures = [
        figure("search_opensearch.bulk", mine, rival, "documents/s", "higher", target=TARGET),
        figure("search_opensearch.bulk_alone", mine, alone, "documents/s", "higher"),
    ]
    await ours.refresh("films")
    mine, rival = await turns(
        scale.rounds, lambda: searches(scale, our_search), lambda: searches(scale, bare.search), warm=scale.warm
    )
    figures.append(figure("search_opensearch.match", mine, rival, "searches/s", "higher"))
    await ours.drop_index("films")
    await ours.stop()
    await bare.close()
    await same.close()
    return figures


def measure(scale: Scale) -> list[Figure]:
    """All figures, against a server of its own."""
    with Cluster("opensearch") as cluster:
        return asyncio.run(measured(scale, cluster.url))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    chosen = options(__doc__ or "", arguments)
    title = f"Documents of {WORDS} words in OpenSearch, beside its bare interface"
    show(title, measure(QUICK if chosen.quick else FULL))


if __name__ == "__main__":
    main()
