"""Every call of every port, made as a program makes it: what the walk holds engines to, one call at a time."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Mapping
from types import ModuleType
from typing import Any, TypeAlias

from soundstage.core import version
from soundstage.engines.blobs import port as blobs
from soundstage.engines.cache import port as cache
from soundstage.engines.log import port as log
from soundstage.engines.records import holdings
from soundstage.engines.records import port as records
from soundstage.engines.search import port as search
from soundstage.engines.search.queries import All
from soundstage.engines.tables import port as tables
from soundstage.engines.tables.filters import equal
from soundstage.testing.tables.samples import SPEC as FILMS
from soundstage.testing.tables.samples import film, rows

Calls: TypeAlias = Mapping[str, Callable[[Any], Any]]
"""What each call of a port is made with."""

NOW_US = 1_700_000_000_000_000
TABLE = records.TableSpec(name="films")
TOPIC = log.TopicSpec(name="seen", partitions=1)
INDEX = search.IndexSpec(
    name="films",
    fields={
        "year": search.Field(kind=search.Kind.INTEGER),
        "mood": search.Field(kind=search.Kind.VECTOR, dimensions=1),
    },
)
ENTRY = log.Entry(b"Heat")
CELL = version.put(NOW_US, "t", b"Heat")
BATCH = records.Batch(cells=[(b"title", CELL)])
HOLDING = holdings.Holding(partition=b"p", newest=version.identity(CELL), cells=[(b"title", CELL)])

PORTS: Mapping[str, tuple[tuple[ModuleType, ...], Calls]] = {
    "records": (
        (records, holdings),
        {
            "create_table": lambda at: at.create_table(records.TableSpec(name="more")),
            "drop_table": lambda at: at.drop_table("films"),
            "tables": lambda at: at.tables(),
            "set_purge_floor": lambda at: at.set_purge_floor("films", NOW_US),
            "apply": lambda at: at.apply("films", b"p", BATCH),
            "apply_each": lambda at: at.apply_each("films", [(b"p", BATCH), (b"q", BATCH)]),
            "get": lambda at: at.get("films", b"p", [b"title"], NOW_US),
            "read": lambda at: at.read("films", b"p", records.ALL, records.DEFAULT_BUDGET, NOW_US),
            "read_many": lambda at: at.read_many("films", [b"p", b"q"], records.ALL, records.DEFAULT_BUDGET, NOW_US),
            "walk": lambda at: at.walk("films", 0, 1, None, records.DEFAULT_BUDGET, NOW_US),
            "sweep": lambda at: at.sweep(100),
            "get_from_all": lambda at: at.get_from_all("films", b"p", [b"title"], NOW_US),
            "statistics": lambda at: at.statistics("films"),
            "checkpoint": lambda at: at.checkpoint(f"{at.folder}-copy"),
            "restore": lambda at: at.restore(f"{at.folder}-kept"),
            "dump": lambda at: at.dump("films", None, records.DEFAULT_BUDGET),
            "load": lambda at: at.load("films", [HOLDING]),
            "admit": lambda at: at.admit("films", 7),
        },
    ),
    "log": (
        (log,),
        {
            "create_topic": lambda at: at.create_topic(log.TopicSpec(name="more", partitions=1)),
            "drop_topic": lambda at: at.drop_topic("seen"),
            "topics": lambda at: at.topics(),
            "append": lambda at: at.append("seen", [ENTRY]),
            "read": lambda at: at.read("seen", 0, 0),
            "wait": lambda at: at.wait([log.Position("seen", 0, 0)], at.over_ns),
            "offset_at": lambda at: at.offset_at("seen", 0, NOW_US),
            "bounds": lambda at: at.bounds("seen"),
            "sweep": lambda at: at.sweep(100),
            "statistics": lambda at: at.statistics("seen"),
            "join": lambda at: at.join("viewers", "me", ["seen"], 10_000_000),
            "beat": lambda at: at.beat("viewers", "me", 1),
            "leave": lambda at: at.leave("viewers", "me"),
            "commit": lambda at: at.commit(log.Commit(group="viewers", positions=[log.Position("seen", 0, 0)])),
            "committed": lambda at: at.committed("viewers", "seen"),
            "groups": lambda at: at.groups(),
            "forget_group": lambda at: at.forget_group("viewers"),
            "checkpoint": lambda at: at.checkpoint(f"{at.folder}-copy"),
            "restore": lambda at: at.restore(f"{at.folder}-kept"),
            "append_together": lambda at: at.append_together([log.Appending(topic="seen", entries=[ENTRY])]),
            "write_together": lambda at: at.write_together(
                [log.Applying(table="films", partition=b"p", batch=BATCH)],
                [log.Appending(topic="seen", entries=[ENTRY])],
            ),
        },
    ),
    "cache": (
        (cache,),
        {
            "get": lambda at: at.get([b"k"]),
            "set": lambda at: at.set(b"k", b"red"),
            "delete": lambda at: at.delete(b"k"),
            "touch": lambda at: at.touch(b"k", 5),
            "add": lambda at: at.add(b"k", 1),
            "lease": lambda at: at.lease(b"k", 5),
        },
    ),
    "search": (
        (search,),
        {
            "create_index": lambda at: at.create_index(search.IndexSpec(name="more", fields=INDEX.fields)),
            "drop_index": lambda at: at.drop_index("films"),
            "indexes": lambda at: at.indexes(),
            "point": lambda at: at.point("shown", "films"),
            "bulk": lambda at: at.bulk("films", [search.Put("1", {"year": 1995, "mood": [0.5]})]),
            "get": lambda at: at.get("films", ["1"]),
            "search": lambda at: at.search("films", search.Request()),
            "nearest": lambda at: at.nearest("films", search.Nearest(field="mood", vector=[1.0])),
            "refresh": lambda at: at.refresh("films"),
            "delete_where": lambda at: at.delete_where("films", All()),
        },
    ),
    "tables": (
        (tables,),
        {
            "create": lambda at: at.create(tables.TableSpec(name="more", columns=FILMS.columns)),
            "drop": lambda at: at.drop("films"),
            "tables": lambda at: at.tables(),
            "info": lambda at: at.info("films"),
            "append": lambda at: at.append("films", rows(film(2))),
            "overwrite": lambda at: at.overwrite("films", rows(film(2)), equal("id", 1)),
            "delete": lambda at: at.delete("films", equal("id", 1)),
            "scan": lambda at: all_of(at.scan("films")),
            "evolve": lambda at: at.evolve("films", [tables.DropColumn("stars")]),
            "snapshots": lambda at: at.snapshots("films"),
            "point": lambda at: at.point("films", "beside", at.first),
            "drop_branch": lambda at: at.drop_branch("films", "audit"),
            "compact": lambda at: at.compact("films"),
            "expire": lambda at: at.expire("films", at.later_us),
            "clean": lambda at: at.clean("films", at.later_us),
            "location": lambda at: at.location("films"),
        },
    ),
    "blobs": (
        (blobs,),
        {
            "put": lambda at: at.put("poster", chunks()),
            "head": lambda at: at.head("poster"),
            "open": lambda at: all_of(at.open("poster")),
            "delete": lambda at: at.delete("poster"),
            "list": lambda at: at.list(),
            "usage": lambda at: at.usage(),
            "sweep": lambda at: at.sweep(10),
            "checkpoint": lambda at: at.checkpoint(f"{at.folder}-copy"),
            "restore": lambda at: at.restore(f"{at.folder}-kept"),
        },
    ),
}


class At:
    """An engine, and what calls of it need besides."""

    def __init__(self, engine: Any, **more: Any) -> None:
        self._engine = engine
        self._more = more

    def __getattr__(self, name: str) -> Any:
        more: Mapping[str, Any] = self._more
        return more[name] if name in more else getattr(self._engine, name)


async def all_of(stream: AsyncIterator[Any]) -> list[Any]:
    """What a stream gives."""
    return [each async for each in stream]


async def chunks() -> AsyncIterator[bytes]:
    """A small blob."""
    yield b"red"


def declared(modules: tuple[ModuleType, ...]) -> set[str]:
    """The calls that the protocols of a port have, besides those that open, close, and only tell of themselves."""
    found: set[str] = set()
    for module in modules:
        for _, kind in inspect.getmembers(module, inspect.isclass):
            if kind.__module__ == module.__name__ and getattr(kind, "_is_protocol", False):
                asks = (inspect.iscoroutinefunction, inspect.isasyncgenfunction)
                found |= {
                    name
                    for name, call in vars(kind).items()
                    if any(each(call) for each in asks) or (callable(call) and name in ("open", "scan"))
                }
    return found - {"start", "stop"}


def calls_of(port: str, engine: type) -> list[str]:
    """The calls of a port that an engine has."""
    return [name for name in PORTS[port][1] if hasattr(engine, name)]


def call(port: str, name: str, at: At) -> Any:
    """The call, begun."""
    return PORTS[port][1][name](at)
