from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.runtime.conftest import OpenStage
from tests.runtime.notes.api import Notes

from soundstage import __version__
from soundstage.core.call import Call
from soundstage.core.errors import NotFound
from soundstage.runtime.measurement import Measurement
from soundstage.runtime.metrics import families
from soundstage.runtime.stage import Stage

READ = {"system": "notes", "operation": "read"}


def samples(stage: Stage) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(stage.metrics_text().decode())
        for sample in family.samples
    }


def value(stage: Stage, name: str, **labels: str) -> float:
    return samples(stage)[name, frozenset(labels.items())]


async def test_calls_are_counted_with_their_failures(stage: Stage, notes: Notes) -> None:
    await notes.write(name="a", text="1")
    for name in ("a", "b", "c"):
        if name == "a":
            await notes.read(name=name)
        else:
            with pytest.raises(NotFound):
                await notes.read(name=name)
    assert value(stage, "soundstage_calls_started_total", **READ) == 3
    assert value(stage, "soundstage_calls_failed_total", **READ, code="not_found") == 2
    assert value(stage, "soundstage_calls_cancelled_total", **READ) == 0


async def test_latency_is_a_histogram_in_seconds(stage: Stage, notes: Notes) -> None:
    await notes.write(name="a", text="1")
    for _ in range(2):
        await stage.dispatch(
            "notes", "read", Call(), stage.operation("notes", "read").operation.request(namespace="home", name="a")
        )
    assert value(stage, "soundstage_call_seconds_count", **READ) == 2
    assert value(stage, "soundstage_call_seconds_bucket", **READ, le="1e-05") == 2
    assert value(stage, "soundstage_call_seconds_bucket", **READ, le="+Inf") == 2


async def test_the_state_of_the_stage_is_told(stage: Stage) -> None:
    assert value(stage, "soundstage_info", version=__version__) == 1
    assert value(stage, "soundstage_namespaces", abstraction="notes") == 1
    assert value(stage, "soundstage_calls_in_flight") == 0
    assert value(stage, "soundstage_calls_refused_total") == 0
    assert value(stage, "soundstage_sweeper_backlog_rows", engine="default") == 0
    assert value(stage, "soundstage_loop_lag_seconds_count") == 0


async def test_the_process_is_measured_too(stage: Stage) -> None:
    assert value(stage, "process_resident_memory_bytes") > 0


async def test_services_add_what_they_count(stage: Stage, notes: Notes) -> None:
    await notes.disturb(how="")
    assert value(stage, "soundstage_notes_disturbances_total", system="notes") == 1


async def test_labels_do_not_grow_with_what_callers_name(open_stage: OpenStage) -> None:
    async with open_stage() as stage:
        for number in range(5):
            with pytest.raises(NotFound):
                await stage.client(Notes, f"n{number}").read(name="a")
        text = stage.metrics_text().decode()
    assert "n3" not in text


def test_measurements_of_one_name_are_one_family() -> None:
    measured = [
        ({"engine": engine}, Measurement("flushes", "how often", 3, "counter", {"kind": kind}))
        for engine in ("a", "b")
        for kind in ("x", "y")
    ]
    (family,) = families(measured)
    assert [sample.labels for sample in family.samples] == [
        {"engine": engine, "kind": kind} for engine in ("a", "b") for kind in ("x", "y")
    ]


async def test_the_upkeep_of_tables_is_told_by_engine(open_stage: OpenStage, tmp_path: Path) -> None:
    config = {"engines": {"films": {"url": f"iceberg://{tmp_path}"}}}
    async with open_stage(config) as stage:
        (upkeep,) = stage._parts.upkeeps  # pyright: ignore[reportPrivateUsage]
        upkeep.removed, upkeep.failures = 7, 1
        assert value(stage, "soundstage_tables_removed_files_total", engine="films") == 7
        assert value(stage, "soundstage_tables_upkeep_failures_total", engine="films") == 1
        assert value(stage, "soundstage_tables_compacted_total", engine="films") == 0
