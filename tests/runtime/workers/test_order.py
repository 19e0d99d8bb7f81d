"""What a child process is told to be."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from soundstage.runtime.config import StageConfig
from soundstage.runtime.settings import default_text
from soundstage.runtime.stagefile import load_config
from soundstage.runtime.workers.order import Order, config_of_worker, decoded, encoded

HOSTED = {"default": ["records"], "blobs": ["blobs"]}

RICH: dict[str, Any] = {
    "data": "/srv/a b",
    "engines": {"default": {"url": "rocksdb:records", "cache": "64MiB"}, "far": {"url": "memory:"}},
    "namespaces": {"home": {"abstraction": "kv", "config": {"page_size": "1MiB"}, "quotas": {"reads_per_second": 10}}},
    "systems": {"kv": {"deep": {"list": [1, "two", None]}}},
    "http": {"port": 0, "idle_timeout": "5s", "metrics_listen": "127.0.0.1:9"},
    "processes": {"workers": {"http": 3, "jobs": 1}, "shared": True},
    "jobs": {"per_operation": {"namespaces/export": 2}},
}


def config(tree: dict[str, Any] | None = None) -> StageConfig:
    return load_config(tree=tree or {}).config


def worker(tree: dict[str, Any] | None = None, role: str = "http", count: int = 3) -> StageConfig:
    return config_of_worker(config(tree or RICH), role, count, HOSTED, "/srv/a b")


@pytest.mark.parametrize("tree", [{}, RICH])
def test_an_order_arrives_as_it_was_given(tree: dict[str, Any]) -> None:
    order = Order(worker="http-1", role="http", config=config(tree))
    assert decoded(encoded(order)) == order


def test_every_key_of_the_configuration_arrives() -> None:
    import tomllib

    order = Order(worker="http-1", role="http", config=config(tomllib.loads(default_text())))
    assert decoded(encoded(order)) == order


def test_a_worker_runs_its_role_alone_and_has_no_workers() -> None:
    processes = worker().processes
    assert (processes.roles, processes.workers, processes.shared) == (["http"], {}, False)
    assert processes.runs("http")
    assert not processes.runs("jobs")


def test_engines_that_one_process_has_are_reached_through_it_and_others_as_they_are() -> None:
    engines = worker().engines
    assert (engines["default"].url, engines["default"].options) == ("host:///srv/a%20b", {"ports": ["records"]})
    assert engines["blobs"].options == {"ports": ["blobs"]}
    assert engines["far"] == config(RICH).engines["far"]


def test_workers_share_the_bounds_of_the_stage() -> None:
    whole, one = config().admission, worker({}).admission
    assert one.in_flight * 3 >= whole.in_flight > (one.in_flight - 1) * 3
    assert one.followers * 3 >= whole.followers
    assert one.share == pytest.approx(1 / 3)


def test_metrics_have_one_listener_the_parents() -> None:
    assert worker().http.metrics_listen is None


def test_the_rest_is_the_stages() -> None:
    ours, theirs = config(RICH), worker()
    for name in ("namespaces", "systems", "jobs", "auth", "telemetry", "data"):
        assert getattr(ours, name) == getattr(theirs, name)
    assert msgspec.structs.replace(theirs.http, metrics_listen=ours.http.metrics_listen) == ours.http
