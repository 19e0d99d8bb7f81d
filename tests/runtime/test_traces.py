from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.util._once import Once
from tests.runtime.conftest import OpenStage, make
from tests.runtime.notes.api import Notes, ReadNote

from soundstage.core.call import NOBODY, Call, Principal
from soundstage.core.errors import InvalidArgument, NotFound, Unauthenticated
from soundstage.runtime.traces import configure_traces

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TRACED = {"telemetry": {"traces": True}}


def reset(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process in which no provider has been set."""
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", None)
    monkeypatch.setattr(trace, "_TRACER_PROVIDER_SET_ONCE", Once())


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    reset(monkeypatch)
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    yield exporter
    provider.shutdown()


async def test_a_call_is_a_span_below_the_callers(open_stage: OpenStage, spans: InMemorySpanExporter) -> None:
    call = Call(principal=Principal("ci", {"*": ("read",)}), request_id="r-1", trace=PARENT)
    async with open_stage(TRACED) as stage:
        await make(stage)
        await stage.client(Notes, "home").write(name="a", text="1")
        await stage.dispatch("notes", "read", call, ReadNote(namespace="home", name="a"))
    span = spans.get_finished_spans()[-1]
    assert span.name == "notes/read"
    assert span.kind == trace.SpanKind.SERVER
    assert span.parent is not None
    assert f"{span.parent.trace_id:032x}-{span.parent.span_id:016x}" in PARENT
    attributes: Any = span.attributes
    assert (attributes["soundstage.request_id"], attributes["soundstage.principal"]) == ("r-1", "ci")


async def test_a_span_begins_when_the_call_came(open_stage: OpenStage, spans: InMemorySpanExporter) -> None:
    async with open_stage(TRACED) as stage:
        await make(stage)
        await stage.client(Notes, "home").write(name="a", text="1")
        await stage.dispatch("notes", "read", Call(arrived_ns=5), ReadNote(namespace="home", name="a"))
    assert spans.get_finished_spans()[-1].start_time == 5


async def test_a_failure_marks_the_span_with_its_code(open_stage: OpenStage, spans: InMemorySpanExporter) -> None:
    async with open_stage(TRACED) as stage:
        await make(stage)
        with pytest.raises(NotFound):
            await stage.client(Notes, "home").read(name="none")
    span = spans.get_finished_spans()[-1]
    attributes: Any = span.attributes
    assert attributes["error.type"] == "not_found"
    assert span.status.status_code is trace.StatusCode.ERROR
    assert span.events == ()


async def test_a_call_refused_at_the_door_is_a_span_too(open_stage: OpenStage, spans: InMemorySpanExporter) -> None:
    async with open_stage(TRACED) as stage:
        stage.operation("notes", "read").refused(Unauthenticated("who?"), Call(principal=NOBODY, trace=PARENT))
    span = spans.get_finished_spans()[-1]
    attributes: Any = span.attributes
    assert (span.name, attributes["error.type"]) == ("notes/read", "unauthenticated")
    assert span.parent is not None


async def test_without_tracing_no_span_is_made(open_stage: OpenStage, spans: InMemorySpanExporter) -> None:
    async with open_stage() as stage:
        await make(stage)
        await stage.dispatch(
            "notes", "disturb", Call(trace=PARENT), stage.operation("notes", "disturb").operation.request(how="")
        )
    assert spans.get_finished_spans() == ()


@pytest.mark.parametrize("header", ["", "garbage", "00-0-0-00"])
async def test_a_malformed_parent_is_ignored(open_stage: OpenStage, spans: InMemorySpanExporter, header: str) -> None:
    async with open_stage(TRACED) as stage:
        await make(stage)
        with pytest.raises(NotFound):
            await stage.dispatch("notes", "read", Call(trace=header), ReadNote(namespace="home", name="a"))
    assert spans.get_finished_spans()[-1].parent is None


def test_the_exporter_is_set_up_with_the_projects_name(monkeypatch: pytest.MonkeyPatch) -> None:
    reset(monkeypatch)
    configure_traces()
    provider = trace.get_tracer_provider()
    assert isinstance(provider, TracerProvider)
    assert provider.resource.attributes["service.name"] == "soundstage"
    provider.shutdown()


def test_a_missing_exporter_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace.export", None)
    with pytest.raises(InvalidArgument) as caught:
        configure_traces()
    assert caught.value.hint == 'pip install "soundstage[otel]"'
