"""How log lines are written: for people on a terminal, as JSON otherwise.

The code logs with the standard library, facts in `extra`; a program that embeds a stage decides for itself
what becomes of that. `configure_logs` is for processes that are ours.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from functools import partial
from typing import Any, TextIO

import msgspec
import structlog

from soundstage.runtime.config import TelemetryConfig
from soundstage.runtime.secrecy import HIDDEN, is_secret, redacted

_EVENT = "event"


def configure_logs(
    config: TelemetryConfig, stream: TextIO | None = None, *, process: str | None = None
) -> logging.Handler:
    """Everything logged goes to `stream` (standard error), from `config.log_level` on; returns the handler.

    Each line has time, level, logger, event, its facts and, inside a span, the ids of trace and span. Secrets
    are hidden, and tracebacks show no variables. `process` names this one of several in every line.
    """
    out = sys.stderr if stream is None else stream
    terminal = out.isatty()
    as_json = config.log_format == "json" or (config.log_format == "auto" and not terminal)
    handler = logging.StreamHandler(out)
    handler.setFormatter(_formatter(as_json, terminal, process))
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(config.log_level.upper())
    return handler


def _formatter(as_json: bool, colors: bool, process: str | None) -> logging.Formatter:
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        drop_formatted,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        structlog.processors.StackInfoRenderer(),
        add_trace,
    ]
    if process is not None:
        shared.append(partial(add_process, process))
    # As text before anything else sees them: renderers of their own would print local variables.
    last: list[structlog.typing.Processor] = [structlog.processors.format_exc_info, hide_secrets]
    if as_json:
        last.append(structlog.processors.JSONRenderer(serializer=_json))
    else:
        last.append(structlog.dev.ConsoleRenderer(colors=colors, timestamp_key="time"))
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last]
    )


def drop_formatted(_logger: Any, _method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Without what other handlers of the same record left on it while they wrote it."""
    for name in ("message", "asctime"):
        line.pop(name, None)
    return line


def add_process(process: str, _logger: Any, _method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The name of the process that writes the line."""
    line["process"] = process
    return line


def add_trace(_logger: Any, _method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The ids of the current span, where tracing is on."""
    trace = sys.modules.get("opentelemetry.trace")
    if trace is not None:
        context = trace.get_current_span().get_span_context()
        if context.is_valid:
            line["trace_id"] = f"{context.trace_id:032x}"
            line["span_id"] = f"{context.span_id:016x}"
    return line


def hide_secrets(_logger: Any, _method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Values under telling names are hidden, and tokens in any text."""
    for name, value in line.items():
        if name != _EVENT and is_secret(name):
            line[name] = HIDDEN
        elif isinstance(value, str):
            line[name] = redacted(value)
    return line


def _json(line: Any, **_options: Any) -> str:
    return msgspec.json.encode(line, enc_hook=str).decode()
