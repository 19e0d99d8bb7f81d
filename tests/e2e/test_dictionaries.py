"""Dictionaries of a real stage that is killed at each step of making, retiring and dropping one."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.core.words import documents
from tests.e2e.mortal import ONE_TRY, mortal
from tests.e2e.test_transfers import QUICK

from soundstage.client import connect_sync
from soundstage.core.compression import compress
from soundstage.core.dictionaries import Dictionary
from soundstage.core.errors import SoundstageError
from soundstage.core.namespace import NamespaceSpec
from soundstage.core.time import Duration
from soundstage.data.kv import MatchAll, Predicate, PutItem, SyncKeyValue
from soundstage.runtime.jobs import SyncJobs
from soundstage.runtime.namespaces.api import SyncNamespaces
from soundstage.testing.crash.process import StageProcess

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SHELF = "kv/people/values"
MINUTE = Duration.parse("60s")

STEPS = ("is made", "is retired", "is needed by none", "is about to be dropped", "is dropped")
"""What each write to the shelf has it that a dictionary is, in the order of one round."""

POINTS = [f"{SHELF} {number} {when}" for number in range(1, len(STEPS) + 1) for when in ("before", "after")]
NOWHERE = "nowhere 0 before"


def served(data: Path, point: str) -> StageProcess:
    """A stage that dies there, and lets no dictionary rest before it is looked at."""
    return mortal(data, point, variables={**QUICK, "WITHOUT_REST": "yes"})


class People:
    """What was put, which is there however often the stage died."""

    def __init__(self) -> None:
        self.known: dict[str, bytes] = {}
        self.lasting = ""

    def begin(self, url: str) -> None:
        """Values are there, one of which needs a dictionary that is to stay."""
        with connect_sync(url) as stage:
            spec = NamespaceSpec(name="people", abstraction="kv", config={"compression": {"codecs": ["zstd"]}})
            stage.client(SyncNamespaces).put(namespace=spec)
            kv = stage.client(SyncKeyValue, "people")
            values = dict(enumerate(documents(100)))
            kv.put_items(id="samples", items=[PutItem(key=b"%d" % at, value=value) for at, value in values.items()])
        self.lasting = self.make(url, 1_024)
        self.put(url, "lasting", self.lasting)

    def make(self, url: str, size: int) -> str:
        with connect_sync(url, settings=ONE_TRY) as stage:
            started = stage.client(SyncKeyValue, "people").train_dictionary(size=size)
            stage.client(SyncJobs).result(job_id=started.job_id, wait=MINUTE)
            return stage.client(SyncKeyValue, "people").list_dictionaries().dictionaries[0].codec

    def put(self, url: str, id: str, codec: str) -> None:
        """A value that needs the dictionary."""
        value = documents(1, seed=len(self.known) + 7)[0]
        with connect_sync(url, settings=ONE_TRY) as stage:
            kv = stage.client(SyncKeyValue, "people")
            words = Dictionary(codec, kv.get_dictionary(codec=codec).content)
            kv.put_items(id=id, items=[PutItem(key=b"k", value=compress(codec, value, 3, words), codec=codec)])
        self.known[id] = value

    def round(self, url: str, size: int) -> None:
        """A dictionary is made, written with, retired, and dropped when no value needs it any more."""
        brief = self.make(url, size)
        self.put(url, "brief", brief)
        self.verify(url)
        self.end(url)

    def end(self, url: str) -> None:
        """None is left but the one that a value needs."""
        with connect_sync(url, settings=ONE_TRY) as stage:
            kv = stage.client(SyncKeyValue, "people")
            for info in stage.client(SyncJobs).list().jobs:
                stage.client(SyncJobs).result(job_id=info.job_id, wait=MINUTE)
            kv.retire_dictionary()
            self.known.pop("brief", None)
            kv.delete_items(id="brief", predicate=Predicate(match_all=MatchAll()))
            for _ in range(2):
                stage.client(SyncJobs).result(job_id=kv.drop_dictionaries().job_id, wait=MINUTE)
            assert [each.codec for each in kv.list_dictionaries().dictionaries] == [self.lasting]

    def verify(self, url: str) -> None:
        """Every value that was acknowledged is read, by a client that has no dictionary yet."""
        with connect_sync(url) as stage:
            kv = stage.client(SyncKeyValue, "people")
            for id, value in self.known.items():
                assert [item.value for item in kv.get_items(id=id).items] == [value]


def test_every_value_is_read_whatever_step_a_kill_came_at(tmp_path: Path) -> None:
    data, people = tmp_path / "data", People()
    with served(data, NOWHERE) as server:
        people.begin(server.url)
        server.terminate()
    died: list[str] = []
    for number, point in enumerate(POINTS):
        with served(data, point) as server:
            try:
                people.round(server.url, 1_100 + 50 * number)
            except SoundstageError:
                died.append(point)
        with served(data, NOWHERE) as server:
            people.verify(server.url)
            people.end(server.url)
            people.verify(server.url)
            server.terminate()
    assert died == POINTS
