"""Sets of mutations of a real stage that is killed at each step: the row that claims, the marker, each of the writes.

What was accepted is there whole, in the next process. What was not is there whole or not at all, and whole once it was
sent again, under the same versions.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from tests.e2e.mortal import ONE_TRY, mortal
from tests.e2e.processes import until
from tests.e2e.test_transfers import QUICK

from soundstage.client import connect_sync
from soundstage.core.environment import SystemEnvironment
from soundstage.core.errors import SoundstageError
from soundstage.core.hlc import TokenClock
from soundstage.core.message import IdempotencyToken
from soundstage.core.namespace import NamespaceSpec
from soundstage.data.kv import Mutation, PutItem, PutMutation, SyncKeyValue
from soundstage.data.writeahead import SyncWriteAhead
from soundstage.runtime.namespaces.api import SyncNamespaces
from soundstage.testing.crash.process import StageProcess

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

BRIEF = {**QUICK, "SOUNDSTAGE_PROCESSES__LEASE": "500ms"}
ARMED = "armed"
SMALL, LARGE = "small", "large"
VALUE = bytes(range(250)) * 20
"""In chunks where it goes."""

SETS = "system/writeahead"
STEPS = (
    f"{SETS} 1",
    "log.append 1",
    f"{SETS} 2",
    f"kv/{SMALL} 1",
    f"kv/{LARGE}/values 1",
    f"kv/{LARGE}/values 2",
    f"kv/{LARGE} 1",
    f"kv/{SMALL} 2",
    f"{SETS} 3",
    "log.commit 1",
)
"""It is being accepted, it and its marker are in the log, it is accepted; its three mutations, of which the second has
a value in chunks; it is applied, and need not be read again."""

POINTS = [
    *(f"{step} before" for step in STEPS),
    *(f"{step} after" for step in ("log.append 1", f"{SETS} 2", f"kv/{LARGE} 1", "log.commit 1")),
]
"""Of most steps, what is there after it is what is there before the next."""

WHOLE = {(SMALL, b"first"): b"1", (LARGE, b"second"): VALUE, (SMALL, b"third"): b"3"}


class Sent:
    """One set, of the record `id` in both namespaces; `mutation_id` once it was accepted."""

    def __init__(self, id: str, token: IdempotencyToken) -> None:
        self.id = id
        self.token = token
        self.mutation_id: str | None = None

    def send(self, url: str) -> None:
        mutations = [
            Mutation(put=PutMutation(namespace=namespace, id=self.id, items=[PutItem(key=key, value=value)]))
            for (namespace, key), value in WHOLE.items()
        ]
        with connect_sync(url, settings=ONE_TRY) as stage:
            kv = stage.client(SyncKeyValue)
            self.mutation_id = kv.mutate_items(mutations=mutations, idempotency_token=self.token).mutation_id

    def found(self, url: str) -> dict[tuple[str, bytes], tuple[bytes | None, str]]:
        """What is there of it, and under which tokens."""
        with connect_sync(url) as stage:
            return {
                (name, item.key): (item.value, item.metadata.token.token)
                for name in (SMALL, LARGE)
                for item in stage.client(SyncKeyValue, name).get_items(id=self.id).items
            }

    def is_settled(self, url: str) -> bool:
        """Nothing of it is there, where nobody was told that it was accepted; or all of it is."""
        found = self.found(url)
        whole = {name: (value, f"{self.token.token}/{at}") for at, (name, value) in enumerate(WHOLE.items())}
        assert found.items() <= whole.items()
        return found == whole or (self.mutation_id is None and not found)


def send_until_it_dies(url: str, sent: Sent) -> None:
    with connect_sync(url, settings=ONE_TRY) as stage:
        stage.client(SyncKeyValue, ARMED).put_items(id="now", items=[PutItem(key=b"k", value=b"v")])
    with suppress(SoundstageError):
        sent.send(url)
    until(lambda: is_gone(url))


def is_gone(url: str) -> bool:
    try:
        with connect_sync(url, settings=ONE_TRY) as stage:
            stage.client(SyncKeyValue, ARMED).count_items(id="now")
    except SoundstageError:
        return True
    return False


def test_a_set_survives_a_kill_at_any_step_whole(tmp_path: Path) -> None:
    data, clock = tmp_path / "data", TokenClock(SystemEnvironment())
    with StageProcess(data, variables=BRIEF) as server:
        with connect_sync(server.url) as stage:
            for name in (ARMED, SMALL, LARGE):
                config = {"chunk_threshold": "1KiB", "chunk_bytes": "16KiB"} if name == LARGE else {}
                stage.client(SyncNamespaces).put(namespace=NamespaceSpec(name=name, abstraction="kv", config=config))
        server.terminate()
    every: list[Sent] = []
    for point in POINTS:
        with mortal(data, point, variables={**BRIEF, "ARMED_BY": f"kv/{ARMED}"}) as server:
            for before in every[-1:]:
                until(lambda each=before, url=server.url: each.is_settled(url))
            every.append(Sent(f"set {point}", clock.token()))
            send_until_it_dies(server.url, every[-1])
    with StageProcess(data, variables=BRIEF) as server:
        for sent in every:
            until(lambda each=sent: each.is_settled(server.url))
            sent.send(server.url)
            until(lambda each=sent: is_applied(server.url, each))
            assert sent.is_settled(server.url)
        server.terminate()
    unheard = [sent.id for sent in every if sent.mutation_id is None]
    assert unheard == []


def is_applied(url: str, sent: Sent) -> bool:
    assert sent.mutation_id is not None
    with connect_sync(url) as stage:
        return stage.client(SyncWriteAhead).status(mutation_id=sent.mutation_id).state == "applied"
