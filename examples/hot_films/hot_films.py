"""A cache of two real memcached nodes before the films of MovieLens, read as often as people rated them."""

from __future__ import annotations

import asyncio
import re
import tempfile
from pathlib import Path

from soundstage import Stage, datasets
from soundstage.data.kv import KeyValue, MatchKeys, Predicate, PutItem
from soundstage.runtime.namespaces import Namespaces, NamespaceSpec
from soundstage.servers import Cluster

FILMS = NamespaceSpec(
    name="films",
    abstraction="kv",
    config={"consistency": "read_your_writes", "cache": {"engine": "hot", "ttl": "10m", "within": "1s"}},
)
TITLE = Predicate(match_keys=MatchKeys(keys=[b"title"]))
READS = 10_000
AT_ONCE = 50
STAR_WARS = "50"


async def title(films: KeyValue, film: str) -> str:
    (item,) = (await films.get_items(id=film, predicate=TITLE)).items
    return (item.value or b"").decode()


async def put(films: KeyValue, film: str, name: str) -> None:
    await films.put_items(id=film, items=[PutItem(key=b"title", value=name.encode())])


async def load(films: KeyValue, source: Path) -> dict[str, str]:
    """A record per film; returns their titles."""
    titles = {str(film.film_id): film.title for film in datasets.movielens.films(source)}
    left = list(titles)
    while left:
        some, left = left[:AT_ONCE], left[AT_ONCE:]
        await asyncio.gather(*(put(films, film, titles[film]) for film in some))
    return titles


async def read(films: KeyValue, wanted: list[str], titles: dict[str, str]) -> bool:
    """Whether all were as they were written."""
    right = True
    for first in range(0, len(wanted), AT_ONCE):
        some = wanted[first : first + AT_ONCE]
        found = await asyncio.gather(*(title(films, film) for film in some))
        right = right and found == [titles[film] for film in some]
    return right


def hits(stage: Stage) -> float:
    """How many reads the cache has answered."""
    found = re.search(r"kv_cache_reads_total\{[^}]*outcome=\"hit\"[^}]*\} (\S+)", stage.metrics_text().decode())
    return float(found[1]) if found else 0.0


async def main(cluster: Cluster, folder: str) -> None:
    source = datasets.fetch("movielens-100k")
    wanted = [str(rating.film_id) for rating in datasets.movielens.ratings(source)][:READS]
    config = {"engines": {"hot": {"url": cluster.url}}}
    async with Stage.open(data=folder, config=config, variables={}) as stage:
        await stage.client(Namespaces).put(namespace=FILMS)
        films = stage.client(KeyValue, "films")
        titles = await load(films, source)
        print(f"{len(titles):,} films, {len(wanted):,} reads of {len(set(wanted)):,} of them", end=", ")
        print(f"all as they were written: {await read(films, wanted, titles)}")
        print(f"the cache answered eight of ten: {hits(stage) > 0.8 * len(wanted)}")

        titles[STAR_WARS] = "Star Wars: Episode IV"
        await put(films, STAR_WARS, titles[STAR_WARS])
        print("what was written is read at once:", await title(films, STAR_WARS))

        cluster.servers[0].kill()
        titles[STAR_WARS] = "Star Wars"
        await put(films, STAR_WARS, titles[STAR_WARS])
        print(f"with one node gone all is as it was written: {await read(films, wanted[:1_000], titles)}")


if __name__ == "__main__":
    with Cluster("memcached", nodes=2) as cluster, tempfile.TemporaryDirectory() as folder:
        asyncio.run(main(cluster, folder))
