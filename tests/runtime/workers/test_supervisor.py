"""What is offered to workers, and what is told of them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.runtime.conftest import OpenStage

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import InvalidArgument, Unavailable
from soundstage.runtime.config import StageConfig
from soundstage.runtime.stagefile import load_config
from soundstage.runtime.workers import supervisor as supervising
from soundstage.runtime.workers.order import Order, config_of_worker
from soundstage.runtime.workers.supervisor import Supervisor, hosted_ports
from soundstage.runtime.workers.worker import Worker


class Line:
    """A channel to a worker that answers with `text`, or is gone, or says nothing."""

    def __init__(self, text: bytes | None, silent: bool = False) -> None:
        self._text = text
        self._silent = silent

    async def ask(self, _: str) -> bytes:
        if self._silent:
            await asyncio.Event().wait()
        if self._text is None:
            raise Unavailable("gone")
        return self._text


async def answer(_: str) -> bytes:
    return b""


def worker(environment: VirtualEnvironment, name: str, line: Line | None) -> Worker:
    made = Worker(Order(worker=name, role="http", config=StageConfig()), 1, environment, answer)
    made.channel = line  # pyright: ignore[reportAttributeAccessIssue]
    return made


async def test_engines_of_one_process_are_offered_with_their_ports(open_stage: OpenStage) -> None:
    config = load_config(tree={"engines": {"far": {"url": "host:"}}, "data": "memory:"}).config
    async with open_stage() as stage:
        assert hosted_ports(stage.engines, config) == {
            key: ["records", "blobs", "log", "search"] for key in ("default", "blobs")
        }


async def test_a_cache_of_one_process_is_one_for_its_workers(open_stage: OpenStage) -> None:
    config = load_config(tree={"engines": {"hot": {"url": "lru:"}}, "data": "memory:"}).config
    async with open_stage(config={"engines": {"hot": {"url": "lru:"}}}) as stage:
        offered = hosted_ports(stage.engines, config)
    assert offered["hot"] == ["cache"]
    worker = config_of_worker(config, "http", 2, offered, "/data").engines["hot"]
    assert (worker.url, worker.options) == ("host:///data", {"ports": ["cache"]})


async def test_tables_in_a_folder_are_open_in_every_process(open_stage: OpenStage) -> None:
    config = load_config(
        tree={
            "engines": {"tables": {"url": "iceberg:tables"}},
            "data": "memory:",
            "processes": {"workers": {"jobs": 1}},
        }
    ).config
    async with open_stage() as stage:
        offered = hosted_ports(stage.engines, config)
    assert "tables" not in offered
    assert config_of_worker(config, "jobs", 1, offered, "/data").engines["tables"].url == "iceberg:tables"


async def test_tables_in_memory_are_refused_where_there_are_workers(open_stage: OpenStage) -> None:
    tree = {"engines": {"lost": {"url": "arrow:"}}, "processes": {"shared": True}}
    async with open_stage(config=tree) as stage:
        assert hosted_ports(stage.engines, stage.config)["lost"] == ["tables"]
        processes = msgspec.structs.replace(stage.config.processes, workers={"jobs": 1})
        with pytest.raises(InvalidArgument) as refused:
            hosted_ports(stage.engines, msgspec.structs.replace(stage.config, processes=processes))
    assert refused.value.field == "engines.lost.url"
    assert "iceberg:" in (refused.value.hint or "")


async def test_workers_that_do_not_work_are_reasons(open_stage: OpenStage, environment: VirtualEnvironment) -> None:
    async with open_stage() as stage:
        watched = Supervisor(stage, stage.config)
        watched.workers = [worker(environment, name, None) for name in ("http-1", "http-2")]
        watched.workers[0]._told("ready", b"")
        assert watched.reasons() == ["worker http-2: it is starting"]
        up = {each.labels["worker"]: each.value for each in watched.measurements() if each.name == "worker_up"}
        assert up == {"http-1": 1, "http-2": 0}


async def test_metrics_of_all_who_answer_are_gathered(
    open_stage: OpenStage, environment: VirtualEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervising, "ANSWER_WITHIN_S", 0.05)
    lines = {"a": Line(b"# TYPE some gauge\nsome 1.0\n"), "gone": Line(None), "hangs": Line(b"", silent=True)}
    async with open_stage() as stage:
        watched = Supervisor(stage, stage.config)
        watched.workers = [worker(environment, name, line) for name, line in {**lines, "none": None}.items()]
        text = (await watched.metrics_text()).decode()
    processes = {
        sample.labels["process"] for family in text_string_to_metric_families(text) for sample in family.samples
    }
    assert processes == {"main", "a"}


async def test_a_stage_in_memory_offers_its_engines_where_nobody_else_can_look(open_stage: OpenStage) -> None:
    async with open_stage() as stage:
        watched = Supervisor(stage, stage.config)
        await watched.start()
        folder = watched._temporary
        assert folder is not None
        assert _listing(folder) == (0o700, ["HOST"])
        await watched.stop()
        await watched.stop()
        assert not _exists(folder)


def _listing(folder: str) -> tuple[int, list[str]]:
    path = Path(folder)
    return path.stat().st_mode & 0o777, [each.name for each in path.iterdir()]


def _exists(folder: str) -> bool:
    return Path(folder).exists()


async def test_a_worker_that_cannot_start_says_why(environment: VirtualEnvironment) -> None:
    problem = b'{"code":"invalid_argument","detail":"the certificates cannot be used"}'
    one = worker(environment, "http-1", None)
    one._told("failed", problem)
    assert "certificates" in str(one._problem)


async def test_a_worker_that_was_never_started_stops(environment: VirtualEnvironment) -> None:
    one: Any = worker(environment, "http-1", None)
    await one.stop(1.0)
    assert one.reason == "it is stopping"
