"""MovieLens through redis-py: films and ratings as hashes of a namespace, read back by both of its faces."""

from __future__ import annotations

import tempfile
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import redis

from soundstage import Stage, datasets
from soundstage.data.kv import MatchKeys, Predicate, SyncKeyValue

DOOR = {"doors": {"resp": {"listen": "127.0.0.1:0", "namespace": "movies"}}}
AT_ONCE = 200


def load(r: Any, source: Path) -> None:
    """A hash per film, and one per person with a field for each film that they rated."""
    pipeline = r.pipeline(transaction=False)
    for film in datasets.movielens.films(source):
        pipeline.hset(f"film:{film.film_id}", mapping={"title": film.title, "year": film.year or "unknown"})
        if len(pipeline) == AT_ONCE:
            pipeline.execute()
    stars: defaultdict[int, dict[str, int]] = defaultdict(dict)
    for rating in datasets.movielens.ratings(source):
        stars[rating.user_id][str(rating.film_id)] = rating.stars
    for user, given in stars.items():
        pipeline.hset(f"stars:{user}", mapping=given)
        if len(pipeline) == AT_ONCE:
            pipeline.execute()
    pipeline.execute()


def favourites(r: Any) -> list[tuple[str, int]]:
    """The films with the most five stars, kept for a minute."""
    found = r.get("favourites")
    if found is None:
        fives: Counter[str] = Counter()
        for key in r.scan_iter(match="stars:*", count=500):
            fives.update(film for film, stars in r.hgetall(key).items() if stars == "5")
        found = " ".join(f"{film}={count}" for film, count in fives.most_common(3))
        r.set("favourites", found, ex=60, nx=True)
    return [(film, int(count)) for film, _, count in (each.partition("=") for each in found.split())]


def main(folder: str) -> None:
    source = datasets.fetch("movielens-100k")
    with Stage.open_sync(data=folder, config=DOOR) as stage:
        (door,) = stage.open_doors()
        client: Any = redis.Redis
        with client.from_url(door.address, decode_responses=True) as r:
            load(r, source)
            print(f"{r.dbsize()} keys, {r.type('film:50')} film:50: {r.hget('film:50', 'title')}")
            print(f"person 1 rated {r.hlen('stars:1')} films, film 50 with {r.hget('stars:1', '50')} stars")
            for film, count in favourites(r):
                print(f"  {count} x five stars  {r.hget(f'film:{film}', 'title')}")
            print(f"kept for up to a minute: {0 < r.ttl('favourites') <= 60}")

        movies = stage.client(SyncKeyValue, "movies")
        (item,) = movies.get_items(id="film:50", predicate=Predicate(match_keys=MatchKeys(keys=[b"title"]))).items
        print(f"kv reads the same: {(item.value or b'').decode()}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        main(folder)
