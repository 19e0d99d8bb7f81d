"""Whatever a disk says to the blobs that lie in a folder is an error of the tree in every call of the port."""

from __future__ import annotations

import errno
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.engines.walk.calls import At, call, calls_of, chunks
from tests.engines.walk.faults import Fault, refusal, told

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.size import Size
from soundstage.engines.blobs.file import FileBlobs, FileOptions

CALLS = calls_of("blobs", FileBlobs)

SAID = [errno.EACCES, errno.EIO, errno.ENOSPC]

KNOWN = {"head", "list", "usage", "sweep"}
"""Calls that are answered of what is known."""

THROUGH = ("open", "pread", "pwrite", "fsync", "fchmod", "rename", "replace", "unlink", "link")
"""What the engine asks of the operating system."""


@pytest.fixture(params=["packed", "plain"])
async def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[At]:
    options = FileOptions(low_water=Size(1), layout=request.param)
    engine = FileBlobs(str(tmp_path / "films"), options, VirtualEnvironment())
    await engine.start()
    await engine.put("kept", chunks())
    await engine.checkpoint(str(tmp_path / "films-kept"))
    await engine.delete("kept")
    await engine.put("poster", chunks())
    yield At(engine, folder=tmp_path / "films")
    await engine.stop()


@pytest.fixture
def fault(blobs: At, monkeypatch: pytest.MonkeyPatch) -> Fault:
    """Of every call of the operating system that names a file of this test, or changes one."""
    found = Fault()
    within = str(Path(blobs.folder).parent)

    def struck(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*values: Any, **named: Any) -> Any:
            if isinstance(values[0], int) or str(values[0]).startswith(within):
                found.strike()
            return real(*values, **named)

        return call

    for name in THROUGH:
        monkeypatch.setattr(os, name, struck(getattr(os, name)))
    return found


@pytest.mark.parametrize("said", SAID, ids=errno.errorcode.get)
@pytest.mark.parametrize("name", CALLS)
async def test_nothing_that_a_disk_says_passes_a_call(blobs: At, fault: Fault, name: str, said: int) -> None:
    fault.error = OSError(said, os.strerror(said))
    error = await refusal(call("blobs", name, blobs))
    fault.error = None
    if name in KNOWN:
        assert error is None
    else:
        assert fault.met
        assert error is not None
        assert told(error).code == "unavailable"
