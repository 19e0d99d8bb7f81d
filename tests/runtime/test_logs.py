from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterator
from typing import Any, Literal

import pytest
from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from soundstage.runtime.config import TelemetryConfig
from soundstage.runtime.logs import configure_logs

log = logging.getLogger("soundstage.test")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def configured() -> Iterator[Callable[..., io.StringIO]]:
    """Configures logging to a stream, and undoes it."""
    handlers: list[logging.Handler] = []
    root = logging.getLogger()
    level = root.level

    def configure(
        format: Literal["auto", "json", "console"] = "auto", stream: io.StringIO | None = None, **options: Any
    ) -> io.StringIO:
        out = stream or io.StringIO()
        handlers.append(configure_logs(TelemetryConfig(log_format=format, **options), out))
        return out

    yield configure
    for handler in handlers:
        root.removeHandler(handler)
    root.setLevel(level)


Configure = Callable[..., io.StringIO]


def test_a_line_is_json_with_its_facts(configured: Configure) -> None:
    out = configured()
    log.info("call", extra={"request_id": "r-1", "took_us": 7})
    line = json.loads(out.getvalue())
    assert line.pop("time").endswith("Z")
    assert line == {"event": "call", "level": "info", "logger": "soundstage.test", "request_id": "r-1", "took_us": 7}


def test_on_a_terminal_lines_are_for_people(configured: Configure) -> None:
    out = configured(stream=Terminal())
    log.info("call", extra={"request_id": "r-1"})
    assert "call" in out.getvalue()
    with pytest.raises(json.JSONDecodeError):
        json.loads(out.getvalue())


def test_the_format_can_be_forced(configured: Configure) -> None:
    out = configured("json", Terminal())
    log.info("call")
    json.loads(out.getvalue())


@pytest.mark.parametrize(("level", "lines"), [("debug", 3), ("info", 2), ("error", 1)])
def test_less_serious_lines_are_left_out(configured: Configure, level: str, lines: int) -> None:
    out = configured("json", log_level=level)
    for write in (log.debug, log.info, log.error):
        write("line")
    assert len(out.getvalue().splitlines()) == lines


@pytest.mark.parametrize("format", ["json", "console"])
def test_secrets_are_hidden_wherever_they_are(configured: Configure, format: str) -> None:
    out = configured(format)
    try:
        raise ValueError("sst_00ab_s3cret is no token")
    except ValueError:
        log.exception(
            "sst_00ab_s3cret came",
            extra={"password": "s3cret", "header": "Bearer s3cret", "authorization": "s3cret"},
        )
    assert "s3cret" not in out.getvalue()
    assert "sst_00ab_(hidden)" in out.getvalue()


@pytest.mark.parametrize("format", ["json", "console"])
def test_tracebacks_show_no_variables(configured: Configure, format: str) -> None:
    out = configured(format)

    def fail() -> None:
        value_nobody_may_see = "".join(["hunter", "2"])
        raise KeyError(len(value_nobody_may_see))

    try:
        fail()
    except KeyError:
        log.exception("failed")
    assert "Traceback" in out.getvalue()
    assert "hunter2" not in out.getvalue()


def test_facts_that_json_lacks_are_written_as_text(configured: Configure) -> None:
    out = configured()
    log.info("call", extra={"thing": object})
    assert "object" in json.loads(out.getvalue())["thing"]


def test_inside_a_span_a_line_has_its_ids(configured: Configure) -> None:
    out = configured()
    context = SpanContext(0x0AF7, 0xB7AD, is_remote=False, trace_flags=TraceFlags(1))
    with trace.use_span(NonRecordingSpan(context)):
        log.info("call")
    line = json.loads(out.getvalue())
    assert (line["trace_id"], line["span_id"]) == (f"{0x0AF7:032x}", f"{0xB7AD:016x}")


def test_other_libraries_lines_look_the_same(configured: Configure) -> None:
    out = configured()
    logging.getLogger("uvicorn.error").warning("odd %s", "request")
    line = json.loads(out.getvalue())
    assert (line["event"], line["logger"], line["level"]) == ("odd request", "uvicorn.error", "warning")
