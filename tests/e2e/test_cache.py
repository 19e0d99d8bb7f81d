"""A real stage with a real memcached, killed at any step of a write that voids what is kept or of a read that fills it.

What is kept outlives the process. The next one shows what the store has, and never again what was replaced.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.mortal import ONE_TRY, mortal

from soundstage.client import connect_sync
from soundstage.core.errors import SoundstageError
from soundstage.data.kv import MatchKeys, Predicate, PutItem, Selection, SyncKeyValue
from soundstage.servers import Cluster
from soundstage.testing.crash.process import StageProcess
from soundstage.testing.servers import server_fixture

pytestmark = pytest.mark.slow

ROWS = "kv/people"
KEY = b"name"
OLD, NEW, NEWER = b"old", b"new", b"newer"

memcached: Callable[[], Generator[Cluster]] = server_fixture("memcached", scope="module")

CLOSE, STORE, OPEN = "cache.put_head 2", f"{ROWS} 2", "cache.put_head 3"
"""The steps of a second write, once the first one has been stored."""

LEASE, FILL = "cache.lease 2", "cache.put_answer 2"
"""Those of the read that comes after it; between the two it reads the store."""

POINTS = {
    **{f"{point} {when}": OLD for point in (CLOSE,) for when in ("before", "after")},
    f"{STORE} before": OLD,
    f"{STORE} after": NEW,
    **{f"{point} {when}": NEW for point in (OPEN, LEASE, FILL) for when in ("before", "after")},
}
"""Where it dies, and what the store has then."""

STAGE_FILE = """
[engines.hot]
url = "{url}"

[namespaces.people]
abstraction = "kv"

[namespaces.people.config]
consistency = "read_your_writes"
cache = {{ engine = "hot", ttl = "1h", within = "1s" }}
"""


def put(people: SyncKeyValue, id: str, value: bytes) -> None:
    people.put_items(id=id, items=[PutItem(key=KEY, value=value)])


def shown(people: SyncKeyValue, id: str, **asked: Any) -> bytes | None:
    items = people.get_items(id=id, **asked).items
    return items[0].value if items else None


def put_and_read(people: SyncKeyValue, id: str) -> None:
    put(people, id, NEW)
    assert shown(people, id) == NEW


def write_and_read_until_it_dies(url: str, id: str) -> None:
    with connect_sync(url, settings=ONE_TRY) as stage:
        people = stage.client(SyncKeyValue, "people")
        put(people, id, OLD)
        assert shown(people, id) == OLD
        with pytest.raises(SoundstageError):
            put_and_read(people, id)


def verify(url: str, id: str, value: bytes) -> None:
    """All readers are shown what the store has, whatever they ask and however often."""
    with connect_sync(url) as stage:
        people = stage.client(SyncKeyValue, "people")
        by_key = Predicate(match_keys=MatchKeys(keys=[KEY]))
        assert shown(people, id, selection=Selection()) == value
        assert [shown(people, id) for _ in range(3)] == [value] * 3
        assert [shown(people, id, predicate=by_key) for _ in range(3)] == [value] * 3


def overwrite(url: str, id: str) -> None:
    with connect_sync(url) as stage:
        put(stage.client(SyncKeyValue, "people"), id, NEWER)


def test_a_kill_at_any_step_of_a_write_or_a_fill_leaves_nothing_stale(memcached: Cluster, tmp_path: Path) -> None:
    data, stage_file = tmp_path / "data", tmp_path / "stage.toml"
    stage_file.write_text(STAGE_FILE.format(url=memcached.url))
    died: list[str] = []
    for point in POINTS:
        with mortal(data, point, stage_file=stage_file) as server:
            for before in died[-1:]:
                verify(server.url, before, POINTS[before])
            write_and_read_until_it_dies(server.url, point)
            died.append(point)
    with StageProcess(data, stage_file=stage_file) as server:
        for point in died:
            verify(server.url, point, POINTS[point])
            overwrite(server.url, point)
            verify(server.url, point, NEWER)
        server.terminate()
