"""A value passes through a real stage in pieces: of what the process has in memory, little is the value."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.programs import memory_peak_mib

from soundstage.client import connect_sync
from soundstage.core.namespace import NamespaceSpec
from soundstage.data.kv import SyncKeyValue
from soundstage.runtime.namespaces.api import SyncNamespaces
from soundstage.testing.crash.process import StageProcess

pytestmark = pytest.mark.slow

MIB = 1 << 20
SMALL_MIB, LARGE_MIB = 128, 512
THRIFTY = {
    "SOUNDSTAGE_ENGINES__DEFAULT__CACHE": "8MiB",
    "SOUNDSTAGE_ENGINES__DEFAULT__DURABILITY": "os",
}
"""What the engine keeps in memory for itself is not what is measured; its buffers are full after the first value."""


def pass_through(kv: SyncKeyValue, size_mib: int) -> None:
    """A value is put and got again; neither is whole in this process."""
    block = bytes(range(256)) * (MIB // 256)
    assert kv.put_value(iter([block] * size_mib), id="a", key=b"k").size == size_mib * MIB
    with kv.get_value(id="a", key=b"k") as value:
        assert sum(len(part) for part in value) == size_mib * MIB


def test_memory_does_not_grow_with_the_value(tmp_path: Path) -> None:
    with StageProcess(tmp_path / "data", variables=THRIFTY) as server, connect_sync(server.url) as stage:
        stage.client(SyncNamespaces).put(namespace=NamespaceSpec(name="n", abstraction="kv"))
        kv = stage.client(SyncKeyValue, "n")
        pass_through(kv, SMALL_MIB)
        before = memory_peak_mib(server.pid)
        pass_through(kv, LARGE_MIB)
        after = memory_peak_mib(server.pid)
    assert after - before < (LARGE_MIB - SMALL_MIB) / 2
