"""A clock that is wrong: of the machine, by which requests are signed, and of processes, which keep blobs by theirs."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import AsyncIterator
from contextlib import suppress
from urllib.parse import quote, urlsplit

import botocore.auth
import pytest

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import Unauthenticated
from soundstage.engines.blobs.s3 import S3Blobs, parse_address
from soundstage.testing.blobs.calls import keys

SKEW_MAX = datetime.timedelta(minutes=15)
"""Of a request's time of signing, which Amazon's and others' servers refuse beyond."""

NONE = b"<ListBucketResult><KeyCount>0</KeyCount></ListBucketResult>"
SKEWED = (
    b"<Error><Code>RequestTimeTooSkewed</Code><Message>The difference between the request time and the current time"
    b" is too large.</Message></Error>"
)


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers as a server does whose clock is right and that has nothing."""
    with suppress(asyncio.IncompleteReadError, ConnectionError):
        while head := (await reader.readuntil(b"\r\n\r\n")).decode().lower():
            said = head.partition("x-amz-date: ")[2].split("\r\n")[0].upper()
            signed = datetime.datetime.strptime(said, "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.UTC)
            right = abs(signed - datetime.datetime.now(datetime.UTC)) <= SKEW_MAX
            status, body = (200, NONE) if right else (403, SKEWED)
            writer.write(b"HTTP/1.1 %d X\r\ncontent-length: %d\r\n\r\n%s" % (status, len(body), body))
            await writer.drain()
    writer.close()


@pytest.fixture
async def blobs(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[S3Blobs]:
    """An engine that is not started."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    async with await asyncio.start_server(serve, "127.0.0.1") as listening:
        endpoint = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        url = f"s3://films?region=us-east-1&patience=2s&endpoint={quote(endpoint)}"
        engine = S3Blobs(parse_address("films", urlsplit(url), {}, None), VirtualEnvironment())
        yield engine
        await engine.stop()


def off(monkeypatch: pytest.MonkeyPatch, minutes: float) -> None:
    """The clock of this machine, as the driver reads it to sign, is so far off."""

    def now(remove_tzinfo: bool = True) -> datetime.datetime:
        found = datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=minutes)
        return found.replace(tzinfo=None) if remove_tzinfo else found

    monkeypatch.setattr(botocore.auth, "get_current_datetime", now)


@pytest.mark.parametrize("minutes", [-20.0, 20.0, 24 * 60.0])
async def test_a_clock_by_which_no_request_is_signed_well_fails_the_start_at_once_and_the_hint_says_so(
    blobs: S3Blobs, monkeypatch: pytest.MonkeyPatch, minutes: float
) -> None:
    off(monkeypatch, minutes)
    with pytest.raises(Unauthenticated, match="RequestTimeTooSkewed") as refused:
        await blobs.start()
    assert (refused.value.outcome, refused.value.retryable) == ("not_applied", False)
    assert "clock" in str(refused.value.hint)


@pytest.mark.parametrize("minutes", [-10.0, 10.0])
async def test_a_clock_that_is_a_little_off_does_no_harm(
    blobs: S3Blobs, monkeypatch: pytest.MonkeyPatch, minutes: float
) -> None:
    off(monkeypatch, minutes)
    await blobs.start()
    assert await keys(blobs) == []


async def test_a_clock_that_goes_wrong_refuses_calls_and_once_it_is_right_they_work(
    blobs: S3Blobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    await blobs.start()
    with monkeypatch.context() as wrong:
        off(wrong, 60.0)
        with pytest.raises(Unauthenticated):
            await keys(blobs)
    assert await keys(blobs) == []
