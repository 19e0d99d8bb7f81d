from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest
from tests.runtime.conftest import NOTES
from tests.runtime.notes.api import SyncNotes

from soundstage.catalogue import SYSTEMS
from soundstage.core.errors import InvalidArgument, NotFound, Unavailable
from soundstage.core.namespace import NamespaceSpec
from soundstage.runtime.namespaces.api import SyncNamespaces
from soundstage.runtime.stage import Stage
from soundstage.runtime.sync_stage import SyncStage


@pytest.fixture
def stage() -> Iterator[SyncStage]:
    with SyncStage(Stage.open(data="memory:", systems=(*SYSTEMS, NOTES))) as stage:
        stage.client(SyncNamespaces).put(namespace=NamespaceSpec(name="home", abstraction="notes"))
        yield stage


def test_a_synchronous_client_writes_and_reads(stage: SyncStage) -> None:
    notes = stage.client(SyncNotes, "home")
    notes.write(name="milk", text="two bottles")
    assert notes.read(name="milk").text == "two bottles"


def test_errors_arrive_as_they_are(stage: SyncStage) -> None:
    with pytest.raises(NotFound, match="there is no note"):
        stage.client(SyncNotes, "home").read(name="none")


def test_options_are_carried(stage: SyncStage) -> None:
    keyed = stage.client(SyncNotes).with_options(idempotency_key="k")
    assert keyed.disturb(how="").count == keyed.disturb(how="").count == 1


def test_many_threads_share_it(stage: SyncStage) -> None:
    notes = stage.client(SyncNotes, "home")

    def write(number: int) -> None:
        notes.write(name=f"n{number}", text=str(number))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [notes.read(name=f"n{number}").text for number in range(8)] == [str(number) for number in range(8)]


def test_pages_are_walked(stage: SyncStage) -> None:
    namespaces = stage.client(SyncNamespaces)
    namespaces.put(namespace=NamespaceSpec(name="work", abstraction="notes"))
    pages = list(namespaces.list.pages(page_size=1))
    assert [info.name for page in pages for info in page.namespaces] == ["home", "work"]


def test_health_and_metrics_are_those_of_the_stage(stage: SyncStage) -> None:
    assert stage.health().ready
    assert b"soundstage_namespaces" in stage.metrics_text()


def test_closing_twice_changes_nothing_and_ends_its_thread() -> None:
    before = threading.active_count()
    stage = Stage.open_sync(data="memory:")
    stage.close()
    stage.close()
    assert threading.active_count() == before


def test_a_closed_stage_takes_no_calls() -> None:
    with Stage.open_sync(data="memory:") as stage:
        namespaces = stage.client(SyncNamespaces)
    with pytest.raises(Unavailable):
        namespaces.list()


def test_a_stage_that_cannot_start_leaves_no_thread() -> None:
    before = threading.active_count()
    with pytest.raises(InvalidArgument):
        Stage.open_sync(data="memory:", config={"namespaces": {"x": {"abstraction": "none"}}})
    assert threading.active_count() == before


def test_doors_are_opened_and_closed_with_the_stage() -> None:
    config = {"doors": {"resp": {"listen": "127.0.0.1:0"}}}
    with Stage.open_sync(data="memory:", config=config) as stage:
        (door,) = stage.open_doors()
        host, _, port = door.address.removeprefix("redis://").rpartition(":")
        with socket.create_connection((host, int(port))) as caller:
            caller.sendall(b"PING\r\n")
            assert caller.recv(100) == b"+PONG\r\n"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)))
