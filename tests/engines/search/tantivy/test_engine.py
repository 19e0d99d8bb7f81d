"""The engine on Tantivy is what the suite says, and loses nothing that it acknowledged."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from soundstage.core.environment import SystemEnvironment
from soundstage.core.errors import InvalidArgument, SoundstageError, Unavailable
from soundstage.core.size import Size
from soundstage.engines.search.port import (
    Delete,
    Field,
    IndexSpec,
    Kind,
    Nearest,
    Put,
    Request,
    Search,
    SearchCapability,
    Status,
)
from soundstage.engines.search.queries import All, Term
from soundstage.engines.search.tantivy import TantivyOptions, TantivySearch
from soundstage.engines.search.tantivy.catalogue import FILE
from soundstage.engines.search.tantivy.vectors import Vectors
from soundstage.testing.search import OpenIndexes, PassTime, SearchSuite

OPTIONS = TantivyOptions(memory=Size(15 << 20), low_water=Size(1 << 20))


@pytest.fixture
def open_search(tmp_path: Path) -> OpenIndexes:
    async def open_search() -> Search:
        engine = TantivySearch(str(tmp_path), OPTIONS, SystemEnvironment())
        await engine.start()
        return engine

    return open_search


class TestTantivy(SearchSuite):
    capabilities = frozenset({SearchCapability.DURABLE, SearchCapability.VECTORS})

    @pytest.fixture
    def pass_time(self) -> PassTime:
        async def at_once(seconds: float) -> None:
            await asyncio.sleep(0)

        return at_once


SPEC = IndexSpec(
    name="films",
    fields={
        "title": Field(kind=Kind.TEXT),
        "year": Field(kind=Kind.INTEGER),
        "place": Field(kind=Kind.VECTOR, dimensions=2, similarity="euclidean"),
    },
)

VICTIM = """
import asyncio, itertools, sys
from soundstage.core.environment import SystemEnvironment
from soundstage.core.size import Size
from soundstage.engines.search.port import Put
from soundstage.engines.search.tantivy import TantivyOptions, TantivySearch

async def write(search, number):
    for turn in itertools.count():
        puts = [Put(f"{number}-{turn}-{n}", {"title": f"film {n}", "year": turn, "place": [turn, n]}) for n in range(3)]
        await search.bulk("films", puts)
        print(f"{number} {turn}", flush=True)

async def main():
    search = TantivySearch(sys.argv[1], TantivyOptions(low_water=Size(1)), SystemEnvironment())
    await search.start()
    await asyncio.gather(*(write(search, number) for number in range(4)))

asyncio.run(main())
"""


async def opened(folder: Path, **options: Any) -> TantivySearch:
    engine = TantivySearch(str(folder), TantivyOptions(**{"low_water": Size(1 << 20), **options}), SystemEnvironment())
    await engine.start()
    return engine


def folders_of(folder: Path) -> list[Path]:
    """Those of its indexes."""
    return list(folder.glob("index-*"))


def killed(folder: Path, lines: int) -> list[list[str]]:
    """What a process that writes said before it was killed, in the middle of its writing."""
    said: list[list[str]] = []
    with subprocess.Popen([sys.executable, "-c", VICTIM, str(folder)], stdout=subprocess.PIPE, text=True) as victim:
        assert victim.stdout is not None
        for line in victim.stdout:
            said.append(line.split())
            if len(said) >= lines:
                victim.kill()
                break
        said += [line.split() for line in victim.stdout if line.endswith("\n")]
    return said


@pytest.mark.slow
async def test_what_was_acknowledged_is_there_after_a_kill(tmp_path: Path) -> None:
    first = await opened(tmp_path)
    await first.create_index(SPEC)
    await first.stop()
    for round_ in range(3):
        said = await asyncio.to_thread(killed, tmp_path, 30)
        assert len(said) >= 30, round_
        search = await opened(tmp_path)
        for number, turn in said:
            found = await search.get("films", [f"{number}-{turn}-{n}" for n in range(3)])
            assert [each and each.fields["place"] for each in found] == [[float(turn), n] for n in range(3)]
        page = await search.search("films", Request(limit=0))
        near = await search.nearest("films", Nearest(field="place", vector=[0.0, 0.0], limit=1_000))
        # A call is whole or not at all, and every document has its vector.
        assert (page.total or 0) % 3 == 0
        assert len(near) == min(1_000, page.total or 0)
        await search.delete_where("films", All())
        await search.stop()


async def test_calls_that_come_together_are_all_applied(tmp_path: Path) -> None:
    search = await opened(tmp_path)
    await search.create_index(SPEC)
    calls = (search.bulk("films", [Put(f"{n}", {"year": n})]) for n in range(200))
    outcomes = [outcome for (outcome,) in await asyncio.gather(*calls)]
    assert {each.status for each in outcomes} == {Status.APPLIED}
    assert len({each.revision for each in outcomes}) == 200
    assert (await search.search("films", Request(limit=0))).total == 200
    await search.stop()


async def test_a_write_whose_caller_leaves_is_made_or_not_and_others_go_on(tmp_path: Path) -> None:
    search = await opened(tmp_path)
    await search.create_index(SPEC)
    leaving = asyncio.create_task(search.bulk("films", [Put("1", {"year": 1})]))
    await asyncio.sleep(0)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    (outcome,) = await search.bulk("films", [Put("2", {"year": 2})])
    assert outcome.status is Status.APPLIED
    await search.stop()


async def test_who_waits_when_the_engine_stops_is_told_so(tmp_path: Path) -> None:
    search = await opened(tmp_path)
    await search.create_index(SPEC)
    calls = [asyncio.create_task(search.bulk("films", [Put(f"{n}", {"year": n})])) for n in range(5)]
    await asyncio.sleep(0)
    await search.stop()
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(each, list | Unavailable) for each in results)
    again = await opened(tmp_path)
    found = await again.get("films", [f"{n}" for n in range(5)])
    assert [each is not None for each in found] == [isinstance(each, list) for each in results]
    await again.stop()


async def test_a_folder_has_one_owner(tmp_path: Path) -> None:
    search = await opened(tmp_path)
    search.announce("http://here")
    with pytest.raises(Unavailable, match="http://here"):
        await opened(tmp_path)
    await search.stop()
    await (await opened(tmp_path)).stop()


async def test_what_was_dropped_frees_its_folder(tmp_path: Path) -> None:
    search = await opened(tmp_path)
    await search.create_index(SPEC)
    assert len(folders_of(tmp_path)) == 1
    await search.drop_index("films")
    assert folders_of(tmp_path) == []
    await search.stop()


async def test_on_a_full_disk_deletes_are_still_taken(tmp_path: Path) -> None:
    search = await opened(tmp_path)
    await search.create_index(SPEC)
    await search.bulk("films", [Put("1", {"year": 1})])
    await search.stop()
    full = await opened(tmp_path, low_water=Size(1 << 60))
    assert "low-water" in str(full.warning)
    with pytest.raises(Unavailable) as refusal:
        await full.bulk("films", [Put("2", {"year": 2})])
    assert refusal.value.outcome == "not_applied"
    assert [each.status for each in await full.bulk("films", [Delete("1")])] == [Status.APPLIED]
    await full.stop()


async def test_objects_are_refused_by_the_name_of_the_capability(tmp_path: Path) -> None:
    search = await opened(tmp_path)
    cast = Field(kind=Kind.NESTED, fields={"actor": Field(kind=Kind.KEYWORD)})
    with pytest.raises(InvalidArgument, match="nested"):
        await search.create_index(IndexSpec(name="films", fields={"cast": cast}))
    assert await search.indexes() == []
    await search.stop()


async def test_an_index_that_is_damaged_is_told(tmp_path: Path) -> None:
    search = await opened(tmp_path)
    await search.create_index(SPEC)
    await search.bulk("films", [Put("1", {"year": 1})])
    await search.stop()
    (folder,) = folders_of(tmp_path)
    (folder / "meta.json").write_text("{")
    with pytest.raises(SoundstageError):
        await opened(tmp_path)
    # The folder is free again.
    (folder / "meta.json").unlink()
    with pytest.raises(SoundstageError):
        await opened(tmp_path)


async def test_a_call_is_in_order_with_those_before_it(tmp_path: Path) -> None:
    search = await opened(tmp_path)
    await search.create_index(SPEC)
    puts = [search.bulk("films", [Put("1", {"year": n})]) for n in range(20)]
    await asyncio.gather(*puts)
    assert [each and each.fields for each in await search.get("films", ["1"])] == [{"year": 19}]
    assert await search.delete_where("films", Term("year", 19)) == 1
    await search.stop()


async def test_a_vector_of_a_write_that_a_kill_cut_off_is_nobodys(tmp_path: Path) -> None:
    first = await opened(tmp_path)
    await first.create_index(SPEC)
    await first.bulk("films", [Put("1", {"place": [1.0, 1.0]})])
    await first.stop()
    (folder,) = folders_of(tmp_path)
    rows = Vectors(folder / "vectors-place", SPEC.fields["place"])
    rows.load(np.array([1], np.uint64))
    rows.append([(revision, [9.0, 9.0]) for revision in range(2, 20)])
    again = await opened(tmp_path)
    await again.bulk("films", [Put("2", {"place": [2.0, 2.0]})])
    hits = await again.nearest("films", Nearest(field="place", vector=[2.0, 2.0]))
    assert [(hit.document.id, hit.score) for hit in hits] == [("2", 1.0), ("1", pytest.approx(1 / 3))]
    await again.stop()


async def test_what_could_not_be_dropped_is_there_as_before(tmp_path: Path) -> None:
    search = await opened(tmp_path)
    await search.create_index(SPEC)
    await search.bulk("films", [Put("1", {"year": 1995})])
    draft = (tmp_path / FILE).with_suffix(".draft")
    draft.mkdir()
    with pytest.raises(Unavailable):
        await search.drop_index("films")
    assert [each and each.fields for each in await search.get("films", ["1"])] == [{"year": 1995}]
    assert [each.status for each in await search.bulk("films", [Delete("1")])] == [Status.APPLIED]
    draft.rmdir()
    await search.drop_index("films")
    assert (await search.indexes(), folders_of(tmp_path)) == ([], [])
    await search.stop()
