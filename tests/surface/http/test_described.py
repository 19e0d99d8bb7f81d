"""`docs/http.md` says of errors and limits what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from soundstage.core.errors import ERRORS
from soundstage.core.limits import DEADLINE_MAX, DEPTH_MAX, REQUEST_ID_MAX_CHARS
from soundstage.runtime.config import HttpConfig
from soundstage.surface.http.compression import COMPRESS_FROM_BYTES
from soundstage.surface.http.protocol import PIPELINE_MAX

PAGE = (Path(__file__).resolve().parents[3] / "docs/http.md").read_text()
LIMITS = HttpConfig()


@pytest.mark.parametrize("code", ERRORS)
def test_every_error_is_there_with_its_status_and_what_to_do(code: str) -> None:
    (row,) = re.findall(rf"^\| `{code}` \| (\d+) \| (.+) \|$", PAGE, re.MULTILINE)
    assert (int(row[0]), len(row[1]) > 10) == (ERRORS[code].status, True)


@pytest.mark.parametrize(
    ("what", "told", "holds"),
    [
        ("a body, decompressed", "8 MiB", LIMITS.max_body == 8 << 20),
        ("bodies under way, together", "256 MiB", LIMITS.max_buffered == 256 << 20),
        ("header lines of a request", "32 KiB", LIMITS.max_headers == 32 << 10),
        ("maps and lists inside one another", "100", DEPTH_MAX == 100),
        ("from the first byte to the last header", "10 s", LIMITS.header_timeout == 10 * 10**9),
        ("from the headers to the last byte of the body", "30 s", LIMITS.body_timeout == 30 * 10**9),
        ("idle between two requests", "75 s", LIMITS.idle_timeout == 75 * 10**9),
        ("a reply of which nothing is taken", "30 s", LIMITS.body_timeout == 30 * 10**9),
        ("what comes of a file or an upload, and what is taken of a reply", "1 KiB a second", LIMITS.rate_min == 1_024),
        ("requests sent ahead on one connection", "64", PIPELINE_MAX == 64),
        ("connections", "20 000, at most three quarters", LIMITS.max_connections == 20_000),
        ("a deadline", "1 h", DEADLINE_MAX == 3_600 * 10**9),
    ],
)
def test_limits_are_as_told(what: str, told: str, holds: bool) -> None:
    assert re.search(rf"^\| {what} \| {told}", PAGE, re.MULTILINE)
    assert holds


def test_other_numbers_are_as_told() -> None:
    assert f"up to {REQUEST_ID_MAX_CHARS} visible ASCII" in PAGE
    assert "replies under 1 KiB" in PAGE
    assert COMPRESS_FROM_BYTES == 1_024
