"""Whatever Tantivy raises, panics included, is an error of the tree in every call of the port.

Its errors are values that are wrong, with a sentence: which means what is held by `tantivy/test_failures.py`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.engines.walk.calls import INDEX, At, call, calls_of
from tests.engines.walk.faults import Fault, Struck, Told, refusal, told

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.size import Size
from soundstage.engines.search.port import IndexSpec, Put
from soundstage.engines.search.tantivy import TantivyOptions, TantivySearch, catalogue, index


class PanicException(BaseException):
    """What the library below raises when it gives up; no `except Exception` sees it, and it is known by its name."""


CALLS = calls_of("search", TantivySearch)
AWAY, DAMAGE, DEFECT = Told("unavailable", True), Told("data_loss", False), Told("internal", False)

SAID: dict[str, tuple[BaseException, Told]] = {
    "full": (ValueError("An IO error occurred: 'No space left on device (os error 28)'"), AWAY),
    "locked": (ValueError("Failed to acquire Lockfile: LockBusy"), AWAY),
    "damage": (ValueError("Data corrupted: 'Data corruption (in file `meta.json`)'"), DAMAGE),
    "no memory": (MemoryError(), AWAY),
    "anything": (ValueError("something that nobody foresaw"), DEFECT),
    "a panic": (PanicException("called `Option::unwrap()` on a `None` value"), DEFECT),
}
"""What the library says, and what a caller is told."""


class Library(Struck):
    """An open index that fails with a fault, and so do its searchers and writers."""

    def searcher(self) -> Struck:
        self.fault.strike()
        return Struck(self.made.searcher(), self.fault)

    def writer(self, *values: Any) -> Struck:
        self.fault.strike()
        return Struck(self.made.writer(*values), self.fault)


@pytest.fixture
def fault(monkeypatch: pytest.MonkeyPatch) -> Fault:
    """Of every call of the library, and of the file that names the indexes."""
    found = Fault()
    opened, written = index.opened, catalogue.write_durably

    def struck_open(*values: Any, **named: Any) -> Any:
        found.strike()
        return Library(opened(*values, **named), found, frozenset({"schema"}))

    def struck_write(*values: Any, **named: Any) -> Any:
        found.strike()
        return written(*values, **named)

    monkeypatch.setattr(index, "opened", struck_open)
    monkeypatch.setattr(catalogue, "write_durably", struck_write)
    return found


@pytest.fixture
async def search(fault: Fault, tmp_path: Path) -> AsyncIterator[At]:
    engine = TantivySearch(str(tmp_path), TantivyOptions(low_water=Size(1 << 20)), VirtualEnvironment())
    await engine.start()
    await engine.create_index(IndexSpec(name="films", fields=INDEX.fields))
    await engine.bulk("films", [Put("1", {"year": 1995, "mood": [0.5]})])
    yield At(engine)
    fault.error = None
    await engine.stop()


KNOWN = {"indexes", "refresh"}
"""Calls that are answered of what is known."""


@pytest.mark.slow
@pytest.mark.parametrize("said", SAID)
@pytest.mark.parametrize("name", CALLS)
async def test_nothing_of_the_library_passes_a_call(search: At, fault: Fault, name: str, said: str) -> None:
    fault.error, expected = SAID[said]
    error = await refusal(call("search", name, search))
    if name in KNOWN:
        assert (fault.met, error) == (0, None)
    else:
        assert error is not None
        assert told(error) == expected
