from __future__ import annotations

from tests.runtime.conftest import OpenStage
from tests.runtime.notes.api import Notes

from soundstage.core.namespace import NamespaceSpec
from soundstage.runtime.namespaces.api import Namespaces


async def test_a_client_writes_and_reads_through_the_stage(open_stage: OpenStage) -> None:
    async with open_stage() as stage:
        await stage.client(Namespaces).put(namespace=NamespaceSpec(name="home", abstraction="notes"))
        notes = stage.client(Notes, "home")
        await notes.write(name="milk", text="two bottles")
        assert (await notes.read(name="milk")).text == "two bottles"
