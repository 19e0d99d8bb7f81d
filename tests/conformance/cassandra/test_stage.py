"""A whole stage on a real Cassandra: its own tables, namespaces of both kinds, and the demo."""

from __future__ import annotations

import asyncio
import socket
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from tests.demo.sample import sample

from soundstage.core.environment import SystemEnvironment
from soundstage.core.errors import InvalidArgument, PreconditionFailed
from soundstage.data.kv import Condition, KeyValue, PutItem
from soundstage.data.kv.service import KeyValueService
from soundstage.demo.command import held_by, run
from soundstage.demo.screen import Screen
from soundstage.engines.records.port import Budget
from soundstage.runtime.config import EngineConfig
from soundstage.runtime.namespaces import Namespaces, NamespaceSpec
from soundstage.runtime.stage import Stage
from soundstage.runtime.stagefile import load_config
from soundstage.runtime.trial import try_engine
from soundstage.servers import Cluster
from soundstage.surface.cli.failure import DONE

pytestmark = pytest.mark.slow

ITEM = PutItem(key=b"name", value=b"Ada")


@pytest.fixture
def url(cassandra: Cluster) -> str:
    return f"{cassandra.url}/suite?space=stage-{time.time_ns()}"


def stage_on(url: str, folder: Path) -> Stage:
    config: dict[str, Any] = {"engines": {"default": {"url": url}}, "telemetry": {"log_level": "warning"}}
    return Stage.open(config=config, data=str(folder), variables={})


async def declare(stage: Stage, name: str, **knobs: Any) -> KeyValue:
    await stage.client(Namespaces).put(namespace=NamespaceSpec(name=name, abstraction="kv", config=knobs))
    return stage.client(KeyValue, name)


async def test_what_one_stage_wrote_the_next_one_reads(url: str, tmp_path: Path) -> None:
    async with stage_on(url, tmp_path / "one") as stage:
        await (await declare(stage, "people")).put_items(id="ada", items=[ITEM])
    async with stage_on(url, tmp_path / "two") as stage:
        found = await stage.client(KeyValue, "people").get_items(id="ada")
    assert [item.value for item in found.items] == [b"Ada"]


async def test_two_stages_serve_one_namespace_at_once(url: str, tmp_path: Path) -> None:
    async with stage_on(url, tmp_path / "one") as one:
        await (await declare(one, "people")).put_items(id="ada", items=[ITEM])
        async with stage_on(url, tmp_path / "two") as two:
            await two.client(KeyValue, "people").put_items(id="bob", items=[ITEM])
        found = await one.client(KeyValue, "people").get_items(id="bob")
    assert len(found.items) == 1


@pytest.mark.parametrize("conditional", [False, True])
async def test_a_truncation_hides_all_in_every_process_and_its_rows_are_erased(
    url: str, tmp_path: Path, *, conditional: bool
) -> None:
    async with stage_on(url, tmp_path / "one") as one, stage_on(url, tmp_path / "two") as two:
        people = await declare(one, "people", conditional_writes=conditional)
        await people.put_items(id="ada", items=[ITEM])
        await people.put_items(id="bob", items=[ITEM])
        await people.truncate(confirm="people")
        other = two.client(KeyValue, "people")
        assert [(await other.get_items(id=name)).items for name in ("ada", "bob")] == [[], []]
        await other.put_items(id="bob", items=[PutItem(key=b"new", value=b"")])
        service = one.systems.service("kv")
        assert isinstance(service, KeyValueService)
        await service.erase_truncated("people", lambda: None)
        walked = await one.engines.get("default", "").walk("kv/people", 0, 1, None, Budget(), 1)
    assert [(name, [key for key, _ in rows]) for name, rows in walked.partitions] == [(b"bob", [b"new"])]


async def test_conditions_are_for_namespaces_that_ask_for_them(url: str, tmp_path: Path) -> None:
    absent = Condition(key=b"name", absent=True)
    async with stage_on(url, tmp_path) as stage:
        plain = await declare(stage, "plain")
        with pytest.raises(InvalidArgument):
            await plain.put_items(id="ada", items=[ITEM], condition=absent)
        guarded = await declare(stage, "guarded", conditional_writes=True)
        await guarded.put_items(id="ada", items=[ITEM], condition=absent)
        with pytest.raises(PreconditionFailed):
            await guarded.put_items(id="ada", items=[ITEM], condition=absent)


async def test_the_demo_reads_what_it_wrote(url: str, tmp_path: Path) -> None:
    flags = {
        "data": str(tmp_path / "data"),
        "http.port": 0,
        "telemetry.log_level": "warning",
        "engines.default.url": url,
    }
    assert await run(sample(tmp_path), load_config(variables={}, flags=flags), True, Screen()) == DONE


def test_the_demo_starts_a_server_of_its_own_and_ends_it(tmp_path: Path) -> None:
    with held_by("cassandra", Screen()) as held:
        flags = {"data": str(tmp_path / "data"), "http.port": 0, "telemetry.log_level": "warning", **held}
        loaded = load_config(variables={}, flags=flags)
        assert asyncio.run(run(sample(tmp_path), loaded, True, Screen())) == DONE
    served = urlsplit(held["engines.default.url"])
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((served.hostname or "", served.port or 0), timeout=10)


def test_without_an_engine_the_demo_keeps_to_its_folder() -> None:
    with held_by("rocksdb", Screen()) as flags:
        assert flags == {}


async def test_a_trial_of_the_engine_says_what_it_is_and_keeps_to_its_space(url: str, tmp_path: Path) -> None:
    (trial,) = await try_engine(EngineConfig(url=url), str(tmp_path), SystemEnvironment(), rounds=2)
    assert (trial.port, trial.problem) == ("records", "")
    assert "shared" in trial.capabilities
    assert None not in (trial.write, trial.read, trial.delete)
    async with stage_on(url, tmp_path / "after") as stage:
        assert [each.name for each in await stage.engines.get("default", "").tables() if "check" in each.name] == []
