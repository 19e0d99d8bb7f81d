"""A few films, small enough to say by hand what any question about them must find."""

from __future__ import annotations

from typing import Any

from soundstage.engines.search.port import Field, IndexSpec, Kind, Put, Request, Search, SearchCapability
from soundstage.engines.search.queries import All

NAME = "films"

PLAIN: dict[str, Field] = {
    "title": Field(kind=Kind.TEXT),
    "plot": Field(kind=Kind.TEXT),
    "code": Field(kind=Kind.KEYWORD),
    "genres": Field(kind=Kind.KEYWORD, many=True),
    "year": Field(kind=Kind.INTEGER),
    "prizes": Field(kind=Kind.INTEGER, many=True),
    "rating": Field(kind=Kind.DOUBLE),
    "colour": Field(kind=Kind.BOOLEAN),
    "added": Field(kind=Kind.INSTANT),
}
NESTED: dict[str, Field] = {
    "cast": Field(
        kind=Kind.NESTED,
        fields={
            "actor": Field(kind=Kind.KEYWORD),
            "role": Field(kind=Kind.TEXT),
            "billing": Field(kind=Kind.INTEGER),
        },
    )
}
VECTORS: dict[str, Field] = {
    "mood": Field(kind=Kind.VECTOR, dimensions=3),
    "place": Field(kind=Kind.VECTOR, dimensions=2, similarity="euclidean"),
    "taste": Field(kind=Kind.VECTOR, dimensions=3, similarity="dot"),
}

DAY_US = 86_400_000_000

FILMS: dict[str, dict[str, Any]] = {
    "heat": {
        "title": "Heat",
        "plot": "A thief and a detective drink coffee",
        "code": "US-1995",
        "genres": ["crime", "drama"],
        "year": 1995,
        "prizes": [1, 4],
        "rating": 8.3,
        "colour": True,
        "added": 3 * DAY_US,
    },
    "ronin": {
        "title": "Ronin",
        "plot": "A case and a chase and a thief",
        "code": "US-1998",
        "genres": ["crime"],
        "year": 1998,
        "rating": 7.2,
        "colour": True,
        "added": 2 * DAY_US + 7,
    },
    "samurai": {
        "title": "Seven Samurai / 七人の侍",
        "plot": "Farmers hire seven swordsmen against bandits",
        "code": "JP-1954",
        "genres": ["drama", "war"],
        "year": 1954,
        "prizes": [2],
        "rating": 8.6,
        "colour": False,
        "added": 1,
    },
    "amelie": {
        "title": "Le fabuleux destin d'Amélie Poulain",
        "plot": "Amelie returns a box",
        "code": "FR-2001",
        "genres": ["comedy", "romance"],
        "year": 2001,
        "rating": 8.3,
        "colour": True,
        "added": -5 * DAY_US,
    },
    "train": {
        "title": "The Train",
        "plot": "The train, the train and again the train",
        "code": "US-1964",
        "genres": ["war"],
        "year": 1964,
        "rating": -1.5,
        "colour": False,
    },
    "short": {"title": "Train", "plot": "The train arrives", "code": "FR-1896", "year": 1896, "genres": []},
    "blank": {"title": "…", "rating": 0.0},
}

OBJECTS: dict[str, dict[str, Any]] = {
    "heat": {
        "cast": [
            {"actor": "Pacino", "role": "detective Vincent Hanna", "billing": 1},
            {"actor": "De Niro", "role": "thief Neil McCauley", "billing": 2},
        ]
    },
    "ronin": {"cast": [{"actor": "De Niro", "role": "Sam", "billing": 1}, {"actor": "Reno", "role": "Vincent"}]},
    "samurai": {"cast": [{"actor": "Mifune", "billing": 2}, {}]},
    "train": {"cast": []},
}
LIKENESSES: dict[str, dict[str, Any]] = {
    "heat": {"mood": [1.0, 0.0, 0.0], "place": [0.0, 0.0], "taste": [1.0, 2.0, 0.0]},
    "ronin": {"mood": [3.0, 1.0, 0.0], "place": [3.0, 4.0], "taste": [0.5, 0.0, 0.0]},
    "samurai": {"mood": [0.0, 0.0, 2.0], "place": [-1.0, 0.0], "taste": [-2.0, 0.0, 1.0]},
    "amelie": {"mood": [-1.0, 0.0, 0.0], "place": [0.0, 2.0], "taste": [0.0, 0.0, 0.0]},
    "train": {"mood": [1.0, 1.0, 1.0]},
}


def spec(capabilities: frozenset[SearchCapability], name: str = NAME) -> IndexSpec:
    """The index of the films, with the fields that an engine of these capabilities has."""
    fields = dict(PLAIN)
    if SearchCapability.NESTED in capabilities:
        fields |= NESTED
    if SearchCapability.VECTORS in capabilities:
        fields |= VECTORS
    return IndexSpec(name=name, fields=fields)


def films(capabilities: frozenset[SearchCapability]) -> dict[str, dict[str, Any]]:
    """The films by their ids, with those fields."""
    more = [
        each
        for capability, each in ((SearchCapability.NESTED, OBJECTS), (SearchCapability.VECTORS, LIKENESSES))
        if capability in capabilities
    ]
    return {id: fields | {k: v for each in more for k, v in each.get(id, {}).items()} for id, fields in FILMS.items()}


async def show(search: Search) -> None:
    """The index of films is there, whole and visible; made and filled where it is not."""
    await search.create_index(spec(search.capabilities))
    found = await search.search(NAME, Request(query=All(), limit=0))
    if found.total != len(FILMS):
        every = films(search.capabilities)
        await search.bulk(NAME, [Put(id, fields) for id, fields in every.items()])
        await search.refresh(NAME)
