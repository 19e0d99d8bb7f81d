"""What a put comes to when the server has lost its upload: by one that says so, as AWS does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import quote, urlsplit

import pytest

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import Unavailable
from soundstage.engines.blobs.s3 import S3Blobs, parse_address
from soundstage.testing.blobs.calls import content_of, put

MIB = 1 << 20
BEGUN = b"<InitiateMultipartUploadResult><UploadId>u1</UploadId></InitiateMultipartUploadResult>"
EMPTY = b"<ListBucketResult></ListBucketResult>"
NO_KEY = b"<Error><Code>NoSuchKey</Code><Message>said</Message></Error>"
LOST = b"<Error><Code>NoSuchUpload</Code><Message>said</Message></Error>"


class Server:
    """Begins uploads, has taken a part if `takes`, and knows nothing of them after that."""

    def __init__(self, *, takes: bool) -> None:
        self._takes = takes
        self.size: int | None = None
        """What it says that an object has, of which it knows no upload any more."""
        self.aborted: asyncio.Event = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := (await reader.readuntil(b"\r\n\r\n")).decode().lower():
                if "expect: 100-continue" in head:
                    writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                size = head.partition("content-length: ")[2].split("\r\n")[0]
                await reader.readexactly(int(size or "0"))
                status, body = self._answer(head)
                length = self.size or 0 if head.startswith("head") else len(body)
                said = b'HTTP/1.1 %d X\r\netag: "t"\r\ncontent-length: %d\r\n\r\n%s' % (status, length, body)
                writer.write(said)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def _answer(self, head: str) -> tuple[int, bytes]:
        if head.startswith("get") and "list-type" in head:
            return 200, EMPTY
        if head.startswith("post") and "?uploads" in head:
            return 200, BEGUN
        if head.startswith("head"):
            return (404 if self.size is None else 200), b""
        if "/heads/" in head:
            return (404, NO_KEY) if head.startswith("get") else (200, b"")
        if head.startswith("delete"):
            self.aborted.set()
            return 204, b""
        return (200, b"") if self._takes and "partnumber" in head else (404, LOST)


@pytest.fixture
async def server(request: pytest.FixtureRequest) -> Server:
    return Server(takes=request.param)


@pytest.fixture
def query() -> str:
    """More of the engine's URL."""
    return ""


@pytest.fixture
async def blobs(server: Server, query: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[S3Blobs]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    async with await asyncio.start_server(server.serve, "127.0.0.1") as listening:
        endpoint = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        url = f"s3://films?region=us-east-1&part=5MiB&endpoint={quote(endpoint)}{query}"
        engine = S3Blobs(parse_address("films", urlsplit(url), {}, None), VirtualEnvironment())
        await engine.start()
        yield engine
        await engine.stop()


@pytest.mark.parametrize("server", [False, True], indirect=True, ids=["a part", "the end"])
async def test_a_put_whose_upload_is_lost_may_be_repeated_and_its_upload_is_ended(
    blobs: S3Blobs, server: Server
) -> None:
    with pytest.raises(Unavailable, match="lost") as refused:
        await put(blobs, "film", content_of(6 * MIB))
    assert (refused.value.outcome, refused.value.retryable) == ("not_applied", True)
    await server.aborted.wait()


@pytest.mark.parametrize("query", ["&layout=plain"])
@pytest.mark.parametrize("server", [True], indirect=True)
async def test_bytes_whose_upload_is_gone_are_there_if_the_object_is(blobs: S3Blobs, server: Server) -> None:
    server.size = 6 * MIB
    assert (await put(blobs, "film", content_of(6 * MIB))).size == 6 * MIB


@pytest.mark.parametrize("size", [None, 5 * MIB], ids=["none", "another"])
@pytest.mark.parametrize("query", ["&layout=plain"])
@pytest.mark.parametrize("server", [True], indirect=True)
async def test_bytes_whose_upload_is_gone_without_an_object_are_lost(
    blobs: S3Blobs, server: Server, size: int | None
) -> None:
    server.size = size
    with pytest.raises(Unavailable, match="lost") as refused:
        await put(blobs, "film", content_of(6 * MIB))
    assert (refused.value.outcome, refused.value.retryable) == ("not_applied", True)
