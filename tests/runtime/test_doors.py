"""Doors as the stage file declares them, and as a stage opens and closes them."""

from __future__ import annotations

import errno
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.runtime.conftest import NOTES, make
from tests.runtime.doors import lines_door, open_door, opened, peer
from tests.runtime.notes.api import Notes

from soundstage.catalogue import SYSTEMS
from soundstage.core.errors import InvalidArgument, Unavailable
from soundstage.core.system import System
from soundstage.core.time import Duration
from soundstage.runtime.checking import problems
from soundstage.runtime.listening import NotListening
from soundstage.runtime.stage import Stage
from soundstage.runtime.stagefile import load_config

LINES = {"listen": "127.0.0.1:0"}
SHEETS = {"prefix": "/sheets"}


def wrong(doors: Any, **config: Any) -> InvalidArgument:
    """What a stage with such doors refuses to be opened with."""
    found = problems(load_config(tree={"doors": doors, **config}).config, (*SYSTEMS, NOTES))
    assert len(found) == 1
    assert isinstance(found[0], InvalidArgument)
    return found[0]


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


class TestDeclaring:
    def test_the_name_of_the_table_is_the_kind(self) -> None:
        assert (
            Stage.open(config={"doors": {"lines": LINES}}, systems=(NOTES,)).doors.declared()["lines"].kind == "lines"
        )

    def test_a_kind_may_have_several_doors(self) -> None:
        doors = {"first": {"kind": "lines", **LINES}, "second": {"kind": "lines", **LINES}}
        declared = Stage.open(config={"doors": doors}, systems=(NOTES,)).doors.declared()
        assert [each.kind for each in declared.values()] == ["lines", "lines"]

    def test_the_keys_are_those_of_the_kind(self) -> None:
        doors = {"lines": {**LINES, "namespace": "mine", "idle_timeout": "5s"}}
        config = Stage.open(config={"doors": doors}, systems=(NOTES,)).doors.declared()["lines"].config
        assert (config.namespace, config.idle_timeout) == ("mine", Duration.parse("5s"))

    def test_an_unknown_kind_is_refused_with_the_nearest(self) -> None:
        error = wrong({"line": LINES})
        assert (error.field, error.hint) == ("doors.line.kind", "did you mean 'lines'?")

    def test_an_unknown_key_is_refused_with_the_nearest(self) -> None:
        error = wrong({"lines": {**LINES, "namespce": "x"}})
        assert error.field == "doors.lines.namespce"
        assert "namespace" in str(error.hint)

    def test_a_value_out_of_bounds_is_refused(self) -> None:
        assert wrong({"lines": {**LINES, "idle_timeout": "1ms"}}).field == "doors.lines.idle_timeout"

    def test_a_missing_address_is_refused(self) -> None:
        assert wrong({"lines": {}}).field == "doors.lines.listen"

    @pytest.mark.parametrize("listen", ["6379", "localhost", "host:port", "unix:", "unix:/" + "x" * 120])
    def test_what_is_no_address_is_refused(self, listen: str) -> None:
        assert wrong({"lines": {"listen": listen}}).field == "doors.lines.listen"

    def test_an_open_door_without_authentication_is_refused(self) -> None:
        error = wrong({"lines": {"listen": "0.0.0.0:0"}})
        assert error.field == "doors.lines.listen"
        assert "insecure" in str(error.hint)

    def test_one_with_authentication_is_not(self) -> None:
        config = load_config(tree={"doors": {"lines": {"listen": "0.0.0.0:0"}}, "auth": {"mode": "tokens"}}).config
        assert problems(config, (*SYSTEMS, NOTES)) == []

    def test_certificates_that_cannot_be_read_are_refused(self) -> None:
        assert wrong({"lines": {**LINES, "tls": {"certificate": "/nowhere"}}}).field == "doors.lines.tls"

    @pytest.mark.parametrize("prefix", ["sheets", "/", "/v1", "/health/x", "/a//b", "/a?b", "/a/"])
    def test_what_is_no_prefix_of_ours_is_refused(self, prefix: str) -> None:
        assert wrong({"sheets": {"prefix": prefix}}).field == "doors.sheets.prefix"

    def test_prefixes_that_overlap_are_refused(self) -> None:
        doors = {"a": {"kind": "sheets", "prefix": "/x"}, "b": {"kind": "sheets", "prefix": "/x/y"}}
        assert "'a'" in wrong(doors).detail

    def test_prefixes_that_only_begin_alike_are_not(self) -> None:
        doors = {"a": {"kind": "sheets", "prefix": "/x"}, "b": {"kind": "sheets", "prefix": "/xy"}}
        assert problems(load_config(tree={"doors": doors}).config, (*SYSTEMS, NOTES)) == []

    def test_a_variable_of_the_environment_sets_a_key(self) -> None:
        loaded = load_config(variables={"SOUNDSTAGE_DOORS__LINES__LISTEN": "127.0.0.1:0"})
        assert loaded.config.doors == {"lines": {"listen": "127.0.0.1:0"}}

    def test_a_kind_is_imported_when_a_door_of_it_is_configured(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delitem(sys.modules, "tests.runtime.notes.doors")
        doors = Stage.open(config={}, systems=(NOTES,)).doors
        assert doors.declared() == {}
        assert "tests.runtime.notes.doors" not in sys.modules

    def test_a_system_without_the_module_fails_when_it_is_wanted(self) -> None:
        bare = System("bare", "tests.runtime.errands", "Nothing", doors=("missing",))
        with pytest.raises(ModuleNotFoundError):
            Stage.open(config={"doors": {"missing": LINES}}, systems=(bare,)).doors.declared()


class TestOpening:
    async def test_nobody_comes_in_before_the_doors_are_opened(self) -> None:
        async with Stage.open(config={"doors": {"lines": LINES}}, data="memory:", systems=(*SYSTEMS, NOTES)) as stage:
            assert stage.doors.infos() == []
            assert stage.health().ready

    async def test_a_door_answers_where_it_says(self) -> None:
        async with opened({"lines": LINES}) as stage:
            (info,) = stage.doors.infos()
            async with peer(info.address) as caller:
                assert await caller.ask("anyone") == "hello local"
            assert info.address.startswith("lines://127.0.0.1:")

    async def test_it_makes_what_it_needs_once(self) -> None:
        async with opened({"lines": LINES}) as stage:
            assert "lines" in stage.namespaces.applied.infos
            await stage.client(Notes, "lines").write(name="milk", text="two")
            async with peer(stage.doors.infos()[0].address) as caller:
                await caller.ask("anyone")
                assert await caller.ask("milk") == "two"

    async def test_opening_twice_changes_nothing(self) -> None:
        async with opened({"lines": LINES}) as stage:
            before = stage.doors.infos()
            await stage.open_doors()
            assert stage.doors.infos() == before

    async def test_a_stage_that_stops_closes_its_doors(self) -> None:
        async with opened({"lines": LINES}) as stage:
            door, address = lines_door(stage), stage.doors.infos()[0].address
        assert door.log == ["start", "stop"]
        with pytest.raises(ConnectionRefusedError):
            async with peer(address):
                pass

    async def test_doors_close_in_reverse(self) -> None:
        doors = {"one": {"kind": "lines", **LINES}, "two": {"kind": "lines", **LINES}}
        async with opened(doors) as stage:
            first, second = open_door(stage, "one"), open_door(stage, "two")
            await stage.doors.stop()
            assert stage.doors.infos() == []
            assert (first.name, second.name) == ("one", "two")

    async def test_an_address_in_use_closes_those_that_were_open(self, taken: int) -> None:
        doors = {"one": {"kind": "lines", **LINES}, "two": {"kind": "lines", "listen": f"127.0.0.1:{taken}"}}
        async with Stage.open(config={"doors": doors}, data="memory:", systems=(*SYSTEMS, NOTES)) as stage:
            with pytest.raises(NotListening) as refused:
                await stage.open_doors()
            assert refused.value.errno == errno.EADDRINUSE
            assert stage.doors.infos() == []

    async def test_doors_can_be_opened_again(self) -> None:
        async with opened({"lines": LINES}) as stage:
            await stage.doors.stop()
            await stage.open_doors()
            async with peer(stage.doors.infos()[0].address) as caller:
                assert await caller.ask("anyone") == "hello local"

    async def test_without_the_role_only_those_below_a_prefix_are_opened(self) -> None:
        async with opened({"lines": LINES, "sheets": SHEETS}, processes={"roles": ["http"]}) as stage:
            assert [each.name for each in stage.doors.infos()] == ["sheets"]

    async def test_workers_have_no_doors(self) -> None:
        config = {"doors": {"lines": LINES}, "processes": {"workers": {"doors": 2}}}
        with pytest.raises(InvalidArgument, match="no role 'doors'"):
            async with Stage.open(config=config, data="memory:", systems=(*SYSTEMS, NOTES)):
                pass

    async def test_a_stage_that_does_not_run_opens_none(self) -> None:
        stage = Stage.open(config={"doors": {"lines": LINES}}, data="memory:", systems=(*SYSTEMS, NOTES))
        with pytest.raises(Unavailable):
            await stage.open_doors()

    async def test_a_mounted_door_is_found_by_paths_below_its_prefix(self) -> None:
        async with opened({"sheets": SHEETS}) as stage:
            await make(stage)
            found = [stage.doors.mounted(path) for path in ("/sheets", "/sheets/a", "/sheetsa", "/other")]
            assert [each and each.name for each in found] == ["sheets", "sheets", None, None]

    async def test_a_unix_socket_is_below_the_data(self, tmp_path: Path) -> None:
        config = {"doors": {"lines": {"listen": "unix:lines.sock"}}}
        async with Stage.open(config=config, data=tmp_path, systems=(*SYSTEMS, NOTES)) as stage:
            await stage.open_doors()
            async with peer(stage.doors.infos()[0].address) as caller:
                assert await caller.ask("anyone") == "hello local"
            assert (tmp_path / "lines.sock").stat().st_mode & 0o777 == 0o600
        assert not (tmp_path / "lines.sock").exists()


class TestTelling:
    async def test_metrics_count_what_came_through(self) -> None:
        async with opened({"lines": LINES}) as stage:
            async with peer(stage.doors.infos()[0].address) as caller:
                await caller.ask("anyone")
                assert await caller.ask("nothing") == "not_found"
            text = stage.metrics_text().decode()
        assert 'soundstage_door_requests_total{door="lines"} 2.0' in text
        assert 'soundstage_door_failures_total{code="not_found",door="lines"} 1.0' in text
        assert 'soundstage_door_connections_opened_total{door="lines"} 1.0' in text

    async def test_the_infos_count_too(self) -> None:
        async with opened({"lines": LINES}) as stage, peer(stage.doors.infos()[0].address) as caller:
            await caller.ask("anyone")
            (info,) = stage.doors.infos()
            assert (info.connections, info.requests, info.failures) == (1, 1, 0)
