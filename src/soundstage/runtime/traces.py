"""Spans of calls by the OpenTelemetry API, made only while `telemetry.traces` is on."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from soundstage.core.call import Call
from soundstage.core.errors import InvalidArgument, SoundstageError
from soundstage.core.operation import Operation


class Tracer:
    """Makes a server span per call, as a child of the caller's `traceparent`."""

    def __init__(self) -> None:
        from opentelemetry import trace
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._trace = trace
        self._tracer = trace.get_tracer("soundstage")
        self._propagator = TraceContextTextMapPropagator()

    @contextmanager
    def span(self, operation: Operation[..., Any], call: Call) -> Generator[None]:
        """The current span while the call runs, and as of when it came; a failure marks it with the error's code."""
        parent = self._propagator.extract({"traceparent": call.trace}) if call.trace else None
        with self._tracer.start_as_current_span(
            f"{operation.system}/{operation.name}",
            context=parent,
            kind=self._trace.SpanKind.SERVER,
            attributes={
                "rpc.system": "soundstage",
                "rpc.service": operation.system,
                "rpc.method": operation.name,
                "soundstage.request_id": call.request_id,
                "soundstage.principal": call.principal.name,
            },
            start_time=call.arrived_ns or None,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield
            except SoundstageError as error:
                span.set_attribute("error.type", error.code)
                span.set_status(self._trace.StatusCode.ERROR, error.title)
                raise


def configure_traces() -> None:
    """Spans go where the standard `OTEL_…` variables say, by OTLP over HTTP; for processes that are ours.

    Raises `InvalidArgument` with what to install when the exporter is missing.
    """
    from opentelemetry import trace

    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ModuleNotFoundError as error:
        raise InvalidArgument(
            f"telemetry.traces needs the package {error.name!r}",
            field="telemetry.traces",
            hint='pip install "soundstage[otel]"',
        ) from None
    resource = Resource.create()
    if str(resource.attributes[SERVICE_NAME]).startswith("unknown_service"):
        resource = resource.merge(Resource({SERVICE_NAME: "soundstage"}))
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
