"""The scenario of dictionaries: what it plays, and that it would notice."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec
import pytest
from tests.testing.simulation.theatre import at_play, noted

from soundstage.core.errors import NotFound
from soundstage.data.kv.api import GetDictionaryReply, Item
from soundstage.data.kv.parquet import importing
from soundstage.testing.simulation.dictionaries.play import DictionaryPlay
from soundstage.testing.simulation.dictionaries.steps import Act, DictionaryStep
from soundstage.testing.simulation.scenario import Divergence, Site

T = TypeVar("T")

CALLS_OF_AN_IMPORT = 8
"""Of the engine, at least."""


def played(body: Callable[[Site, DictionaryPlay], Awaitable[T]]) -> T:
    return at_play(DictionaryPlay, body)


def step(act: Act, number: int, **choices: Any) -> DictionaryStep:
    given: dict[str, Any] = {"record": "ada", "keys": (b"a",), "codec": "dictionary", "size": 2_048, **choices}
    return DictionaryStep(number=number, client=0, act=act, **given)


async def worded(playing: DictionaryPlay) -> None:
    """A value needs a dictionary."""
    await playing.play(step("train", 1))
    await playing.play(step("greet", 2))
    await playing.play(step("put", 3))


async def tear_down(site: Site, playing: DictionaryPlay, first: int) -> None:
    """Two runs after the dictionary was retired, and what no value needs is gone."""
    for number in range(first, first + 2):
        await site.environment.sleep(9_000.0)
        await playing.play(step("drop", number))


def test_what_is_written_and_read_while_dictionaries_come_and_go_is_explained() -> None:
    async def body(site: Site, playing: DictionaryPlay) -> set[str]:
        await worded(playing)
        await playing.play(step("put", 4, keys=(b"b",), codec="zstd"))
        await playing.play(step("put", 5, keys=(b"c",), codec="lz4", is_large=True))
        await playing.play(step("look", 6))
        await playing.play(step("retire", 7))
        await tear_down(site, playing, 8)
        await playing.play(step("delete", 10, keys=()))
        await playing.play(step("put", 11))
        await tear_down(site, playing, 12)
        await playing.settle()
        return noted()

    wanted = {"trained", "written", "worded", "looked", "read_by_dictionary", "retired", "needed", "refused", "dropped"}
    assert played(body) >= wanted


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("paused_s", [None, 30.0], ids=["killed", "paused"])
def test_the_process_of_a_job_stumbles_where_its_step_says(paused_s: float | None, after: bool) -> None:
    async def body(site: Site, playing: DictionaryPlay) -> set[str]:
        await playing.play(step("train", 1, stumbles_at=5, after=after, paused_s=paused_s))
        return noted()

    assert played(body) == ({"killed", "given_up"} if paused_s is None else {"paused", "trained"})


class TestImports:
    def test_values_come_with_a_dictionary_that_the_namespace_never_had(self) -> None:
        async def body(site: Site, playing: DictionaryPlay) -> set[str]:
            await playing.play(step("bring", 1, keys=(b"a", b"b"), is_foreign=True))
            await playing.play(step("bring", 2, keys=(b"c",), is_foreign=True, is_large=True))
            await playing.play(step("look", 3))
            await playing.settle()
            return noted()

        assert played(body) >= {"imported", "read_by_dictionary", "looked"}

    def test_a_file_may_lack_the_dictionary_that_the_namespace_has(self) -> None:
        async def body(site: Site, playing: DictionaryPlay) -> set[str]:
            await worded(playing)
            await playing.play(step("bring", 4, is_carried=False))
            return noted()

        assert "imported" in played(body)

    def test_what_neither_has_is_refused(self) -> None:
        async def body(site: Site, playing: DictionaryPlay) -> set[str]:
            await playing.play(step("bring", 1, is_carried=False, is_foreign=True))
            return noted()

        assert played(body) == {"lacking"}

    @pytest.mark.parametrize("at", range(1, CALLS_OF_AN_IMPORT + 1))
    @pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
    def test_an_import_goes_on_in_another_process(self, at: int, after: bool) -> None:
        async def body(site: Site, playing: DictionaryPlay) -> set[str]:
            await playing.play(step("bring", 1, is_foreign=True, stumbles_at=at, after=after))
            await playing.play(step("look", 2))
            await playing.settle()
            return noted()

        assert played(body) >= {"killed", "imported", "read_by_dictionary"}

    def test_rows_that_were_not_written_are_noticed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async def nothing(*given: Any) -> None:
            """No row is written."""

        async def body(site: Site, playing: DictionaryPlay) -> None:
            monkeypatch.setattr(importing.ParquetImport, "_write", nothing)
            with pytest.raises(Divergence, match="of 1 rows that were imported 0"):
                await playing.play(step("bring", 1, is_foreign=True))

        played(body)

    def test_rows_without_their_dictionary_are_noticed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async def nothing(*given: Any) -> None:
            """No dictionary is brought."""

        async def body(site: Site, playing: DictionaryPlay) -> None:
            monkeypatch.setattr(importing, "adopt", nothing)
            await playing.play(step("bring", 1, is_foreign=True))
            with pytest.raises(Divergence, match="is gone"):
                await playing.play(step("look", 2))

        played(body)


class TestNoticing:
    """What is read otherwise than as it was put."""

    def noticed(self, spoil: Callable[[pytest.MonkeyPatch, DictionaryPlay], None], match: str) -> None:
        async def body(site: Site, playing: DictionaryPlay) -> None:
            await worded(playing)
            with pytest.MonkeyPatch.context() as patch:
                spoil(patch, playing)
                with pytest.raises(Divergence, match=match):
                    await playing.play(step("look", 4))

        played(body)

    def test_a_dictionary_that_is_gone(self) -> None:
        async def gone(*given: Any, **fields: Any) -> GetDictionaryReply:
            raise NotFound("gone")

        self.noticed(lambda patch, playing: patch.setattr(type(playing._kv(0)), "get_dictionary", gone), "is gone")

    def test_another_one_in_its_place(self) -> None:
        async def other(*given: Any, **fields: Any) -> GetDictionaryReply:
            return GetDictionaryReply(codec=fields["codec"], content=b"others")

        self.noticed(lambda patch, playing: patch.setattr(type(playing._kv(0)), "get_dictionary", other), "came as")

    def test_another_value(self) -> None:
        self.noticed(lambda patch, playing: playing._values.update({"put-3": b"other"}), "not what was put")

    def test_no_value(self) -> None:
        undo = DictionaryPlay._undo

        async def without(play: DictionaryPlay, client: int, record: str, item: Item) -> set[str]:
            return await undo(play, client, record, msgspec.structs.replace(item, value=None))

        self.noticed(lambda patch, playing: patch.setattr(DictionaryPlay, "_undo", without), "without a value")


def test_one_that_is_kept_for_nothing_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(site: Site, playing: DictionaryPlay) -> None:
        await worded(playing)
        await playing.play(step("delete", 4, keys=()))

        async def nothing(given: DictionaryStep) -> None:
            """No job is done any more."""

        monkeypatch.setattr(playing, "_work", nothing)
        with pytest.raises(Divergence, match="are kept, and values need"):
            await playing.settle()

    played(body)
