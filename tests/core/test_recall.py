"""What a client remembers is begun by the first call that needs it, once for each connection."""

from __future__ import annotations

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.operation import AsyncFace, operation
from soundstage.core.recall import Recalls
from soundstage.data.kv.api import GetItems, GetItemsReply, KeyValue
from soundstage.data.kv.own_writes import OwnWrites
from soundstage.runtime.namespaces.api import Namespaces


def recalls() -> Recalls:
    return Recalls(VirtualEnvironment())


def test_a_system_whose_clients_remember_nothing_has_no_memory() -> None:
    assert recalls().of(Namespaces.put) is None


def test_all_operations_of_a_system_share_the_memory_of_a_connection() -> None:
    mine = recalls()
    assert isinstance(mine.of(KeyValue.put_items), OwnWrites)
    assert mine.of(KeyValue.put_items) is mine.of(KeyValue.get_items)


def test_two_connections_remember_apart() -> None:
    assert recalls().of(KeyValue.put_items) is not recalls().of(KeyValue.put_items)


def test_an_operation_knows_what_its_system_names() -> None:
    class NotesCalls:
        system = "notes"

        @operation(GetItems, access="read")
        def read(self) -> GetItemsReply:
            """Read."""
            raise NotImplementedError

    class Notes(AsyncFace, NotesCalls):
        """Notes."""

    assert Notes.read.recall is None
    assert KeyValue.get_value.recall == KeyValue.put_value.recall == "soundstage.data.kv.own_writes"
