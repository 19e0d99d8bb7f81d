"""Files over HTTP, in process and over real sockets."""

from __future__ import annotations

import asyncio
import os
from base64 import b64encode
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from tests.surface.http.asgi_client import Answer, Caller
from tests.surface.http.conftest import OpenStage, Serve
from tests.surface.http.wire import Wire, request, until

from soundstage.core.size import Size
from soundstage.core.time import Duration
from soundstage.engines.blobs.file import FileBlobs
from soundstage.runtime.config import HttpConfig
from soundstage.runtime.stage import Stage
from soundstage.runtime.tokens.api import Tokens
from soundstage.surface.http.app import Application

ID = "01a217f9-a4fd-7a4f-b236-aa33a9622cb6"
PLACE = f"/v1/blobs/{ID}"
HELLO = b"hello world"
TAG = f'"{sha256(HELLO).hexdigest()}"'
DIGEST = f"sha-256=:{b64encode(sha256(HELLO).digest()).decode()}:"


async def put(caller: Caller, content: bytes = HELLO, path: str = PLACE, **headers: Any) -> Answer:
    return await caller.ask(path, content, method="PUT", **headers)


async def usage(stage: Stage) -> tuple[int, int]:
    return await stage.engines.blobs("blobs", "").usage()


class TestSending:
    async def test_an_id_of_the_senders_own_is_taken(self, caller: Caller) -> None:
        answer = await put(caller, content_type="text/plain")
        assert answer.status == 201
        assert answer.headers["location"] == PLACE
        assert answer.json() == {
            "blob": ID,
            "name": "",
            "media_type": "text/plain",
            "size": len(HELLO),
            "sha256": sha256(HELLO).hexdigest(),
        }

    async def test_an_id_is_made_where_none_is_given(self, caller: Caller) -> None:
        answer = await caller.ask("/v1/blobs", HELLO)
        assert answer.status == 201
        assert (await caller.ask(answer.headers["location"])).body == HELLO

    async def test_the_answer_has_the_format_that_is_asked_for(self, caller: Caller) -> None:
        answer = await put(caller, accept="application/msgpack", content_type="application/msgpack")
        assert answer.headers["content-type"] == "application/msgpack"
        assert answer.msgpack()["media_type"] == "application/msgpack"

    async def test_a_media_type_of_messages_does_not_make_the_answer_one(self, caller: Caller) -> None:
        answer = await put(caller, path="/v1/blobs/none", content_type="application/msgpack")
        assert answer.headers["content-type"] == "application/problem+json"

    async def test_the_name_and_the_time_to_keep_it_are_in_the_query(self, stage: Stage, serve: Serve) -> None:
        async with await Wire.open(await serve(stage)) as wire:
            await wire.send(request(f"{PLACE}?name=%C3%BC.txt&ttl=1d", HELLO, "PUT"))
            assert (await wire.response()).json()["name"] == "ü.txt"
        info = await stage.files.find(ID)
        assert abs(info.expires_us - info.created_us - Duration.parse("1d").us) < 10_000_000

    async def test_it_comes_in_parts(self, caller: Caller) -> None:
        await caller.ask(PLACE, parts=[b"hello", b"", b" world"], method="PUT")
        assert (await caller.ask(PLACE)).body == HELLO

    @pytest.mark.parametrize("digest", [DIGEST, f"md5=:AAAA:, {DIGEST}", "md5=:AAAA:"])
    async def test_a_digest_that_holds_is_taken(self, caller: Caller, digest: str) -> None:
        assert (await put(caller, content_digest=digest)).status == 201

    async def test_a_digest_that_does_not_hold_leaves_nothing(self, caller: Caller, stage: Stage) -> None:
        answer = await put(caller, b"hello there", content_digest=DIGEST)
        assert (answer.status, answer.json()["field"]) == (400, "sha256")
        assert await usage(stage) == (0, 0)

    @pytest.mark.parametrize("digest", ["sha-256=:AAAA:", "sha-256=:!:"])
    async def test_a_digest_that_is_none_is_told(self, caller: Caller, digest: str) -> None:
        answer = await put(caller, content_digest=digest if "!" not in digest else "sha-256=:A:")
        assert (answer.status, answer.json()["field"]) == (400, "Content-Digest")

    async def test_an_id_that_is_taken_is_refused(self, caller: Caller) -> None:
        await put(caller)
        answer = await put(caller, b"another")
        assert (answer.status, answer.json()["code"]) == (409, "already_exists")
        assert (await caller.ask(PLACE)).body == HELLO

    @pytest.mark.parametrize(
        ("path", "field"),
        [
            ("/v1/blobs/none", "blob"),
            ("/v1/blobs/../../etc/passwd", "blob"),
            ("/v1/blobs//etc/passwd", "blob"),
            (f"/v1/blobs/{ID.upper()}", "blob"),
            (f"{PLACE}/more", "blob"),
        ],
    )
    async def test_what_is_no_id_is_refused(self, caller: Caller, path: str, field: str) -> None:
        answer = await put(caller, path=path)
        assert (answer.status, answer.json()["field"]) == (400, field)

    @pytest.mark.parametrize(
        ("query", "field"),
        [("nam=x", "nam"), ("name=a&name=b", "query"), ("%zz", "query"), ("name=a%2Fb", "name"), ("ttl=0s", "ttl")],
    )
    async def test_what_the_query_may_not_say_is_told(self, stage: Stage, serve: Serve, query: str, field: str) -> None:
        async with await Wire.open(await serve(stage)) as wire:
            await wire.send(request(f"{PLACE}?{query}", HELLO, "PUT"))
            answer = await wire.response()
        assert (answer.status, answer.json()["field"]) == (400, field)

    async def test_a_coding_is_refused(self, caller: Caller) -> None:
        answer = await put(caller, content_encoding="gzip")
        assert (answer.status, answer.json()["field"]) == (415, "Content-Encoding")

    async def test_who_hangs_up_leaves_nothing(self, caller: Caller, stage: Stage) -> None:
        answer = await caller.ask(PLACE, parts=[b"hello"], method="PUT", hangs_up=True)
        assert answer.status == 0
        assert await usage(stage) == (0, 0)

    async def test_more_than_a_file_may_have_is_refused(self, open_stage: OpenStage) -> None:
        caller = Caller(Application(await open_stage(files={"size_max": "1KiB"}), HttpConfig()))
        answer = await put(caller, bytes(1_025))
        assert (answer.status, answer.json()["code"]) == (413, "too_large")

    async def test_more_than_the_quota_is_refused(self, open_stage: OpenStage) -> None:
        stage = await open_stage(files={"quota": "1KiB"})
        caller = Caller(Application(stage, HttpConfig()))
        answer = await put(caller, bytes(1_025))
        assert (answer.status, answer.json()["code"]) == (429, "exhausted")
        assert answer.headers["retry-after"] == "60"
        assert await usage(stage) == (0, 0)

    async def test_a_deadline_holds(self, stage: Stage, serve: Serve) -> None:
        async with await Wire.open(await serve(stage)) as wire:
            await wire.send(request(PLACE, b"hello", "PUT", ["Soundstage-Timeout: 20ms"], length=11))
            answer = await wire.response()
        assert (answer.status, answer.json()["code"]) == (504, "deadline")
        assert await usage(stage) == (0, 0)


class TestReading:
    @pytest.fixture(autouse=True)
    async def sent(self, stage: Stage) -> None:
        async def chunks() -> AsyncIterator[bytes]:
            yield HELLO

        await stage.files.put(chunks(), blob=ID, name="a b.html", media_type="text/html")

    async def test_the_whole_comes_with_its_digests(self, caller: Caller) -> None:
        answer = await caller.ask(PLACE)
        assert (answer.status, answer.body) == (200, HELLO)
        assert answer.headers["content-length"] == "11"
        assert answer.headers["content-digest"] == answer.headers["repr-digest"] == DIGEST
        assert answer.headers["etag"] == TAG
        assert answer.headers["accept-ranges"] == "bytes"

    async def test_a_browser_does_not_take_it_for_a_page(self, caller: Caller) -> None:
        headers = (await caller.ask(PLACE)).headers
        assert headers["content-type"] == "text/html"
        assert headers["content-disposition"] == "attachment; filename*=UTF-8''a%20b.html"
        assert headers["content-security-policy"] == "sandbox"
        assert headers["x-content-type-options"] == "nosniff"

    async def test_head_tells_the_same_without_the_bytes(self, stage: Stage, serve: Serve) -> None:
        async with await Wire.open(await serve(stage)) as wire:
            head = await wire.ask(PLACE, method="HEAD")
            got = await wire.ask(PLACE, method="GET")
        same = {name: value for name, value in got.headers.items() if name not in ("date", "x-request-id")}
        assert same.items() <= head.headers.items()
        assert head.headers["content-length"] == "11"

    @pytest.mark.parametrize(
        ("asked", "content", "told"),
        [
            ("bytes=0-4", b"hello", "bytes 0-4/11"),
            ("bytes=6-", b"world", "bytes 6-10/11"),
            ("bytes=-5", b"world", "bytes 6-10/11"),
            ("bytes=-500", HELLO, "bytes 0-10/11"),
            ("bytes=6-500", b"world", "bytes 6-10/11"),
        ],
    )
    async def test_a_range_comes_alone(self, caller: Caller, asked: str, content: bytes, told: str) -> None:
        answer = await caller.ask(PLACE, range=asked)
        assert (answer.status, answer.body, answer.headers["content-range"]) == (206, content, told)
        assert answer.headers["content-length"] == str(len(content))
        assert "content-digest" not in answer.headers

    @pytest.mark.parametrize("asked", ["bytes=0-1,3-4", "lines=1-2", "bytes=", "bytes=-", "bytes=4-2", "nonsense"])
    async def test_what_is_no_single_range_is_let_be(self, caller: Caller, asked: str) -> None:
        assert (await caller.ask(PLACE, range=asked)).status == 200

    @pytest.mark.parametrize("asked", ["bytes=11-", "bytes=500-600", "bytes=-0"])
    async def test_a_range_that_is_not_there_is_told(self, caller: Caller, asked: str) -> None:
        answer = await caller.ask(PLACE, range=asked)
        assert (answer.status, answer.headers["content-range"]) == (416, "bytes */11")

    async def test_a_range_of_another_file_is_let_be(self, caller: Caller) -> None:
        assert (await caller.ask(PLACE, range="bytes=0-1", if_range='"other"')).status == 200
        assert (await caller.ask(PLACE, range="bytes=0-1", if_range=TAG)).status == 206

    @pytest.mark.parametrize("known", [TAG, f'"other", W/{TAG}', "*"])
    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    async def test_what_is_known_is_not_sent(self, caller: Caller, known: str, method: str) -> None:
        answer = await caller.ask(PLACE, method=method, if_none_match=known)
        assert (answer.status, answer.body) == (304, b"")
        assert answer.headers["etag"] == TAG
        assert "content-length" not in answer.headers

    async def test_another_tag_is_not_known(self, caller: Caller) -> None:
        assert (await caller.ask(PLACE, if_none_match='"other"')).status == 200

    async def test_an_unknown_file_is_told(self, caller: Caller) -> None:
        answer = await caller.ask(f"{PLACE[:-1]}0")
        assert (answer.status, answer.json()["field"]) == (404, "blob")

    async def test_a_file_without_bytes_comes_whole(self, caller: Caller) -> None:
        answer = await caller.ask("/v1/blobs", b"")
        got = await caller.ask(answer.headers["location"])
        assert (got.status, got.body, got.headers["content-length"]) == (200, b"", "0")

    async def test_it_is_deleted_once(self, caller: Caller) -> None:
        answer = await caller.ask(PLACE, method="DELETE")
        assert (answer.status, answer.body) == (204, b"")
        assert "content-length" not in answer.headers
        assert (await caller.ask(PLACE, method="DELETE")).status == 404

    @pytest.mark.parametrize(
        ("path", "method", "allowed"),
        [
            ("/v1/blobs", "GET", "POST"),
            ("/v1/blobs/", "DELETE", "POST"),
            (PLACE, "POST", "PUT, GET, HEAD, DELETE"),
            (PLACE, "PATCH", "PUT, GET, HEAD, DELETE"),
        ],
    )
    async def test_other_methods_are_refused(self, caller: Caller, path: str, method: str, allowed: str) -> None:
        answer = await caller.ask(path, method=method)
        assert (answer.status, answer.headers["allow"]) == (405, allowed)


class TestWho:
    async def test_a_stage_with_tokens_wants_one(self, open_stage: OpenStage) -> None:
        stage = await open_stage(auth={"mode": "tokens"})
        caller = Caller(Application(stage, HttpConfig()))
        answer = await put(caller)
        assert (answer.status, answer.headers["connection"]) == (401, "close")
        assert (await caller.ask(PLACE)).status == 401
        reader = await stage.client(Tokens).create(name="reader", roles=["read"])
        writer = await stage.client(Tokens).create(name="writer", roles=["write"])
        assert (await put(caller, authorization=f"Bearer {reader.bearer}")).status == 403
        assert (await put(caller, authorization=f"Bearer {writer.bearer}")).status == 201
        assert (await caller.ask(PLACE, authorization=f"Bearer {writer.bearer}")).body == HELLO

    async def test_pages_of_other_sites_get_none(self, caller: Caller) -> None:
        for method in ("PUT", "GET"):
            answer = await caller.ask(PLACE, method=method, host="evil.example", origin="https://evil.example")
            assert answer.status == 403

    async def test_a_stage_that_stops_takes_none(self, caller: Caller) -> None:
        caller.application.close("the server is stopping")
        assert (await put(caller)).status == 503

    async def test_an_address_for_metrics_alone_has_none(self, stage: Stage) -> None:
        caller = Caller(Application(stage, HttpConfig(), observe_only=True))
        assert (await caller.ask("/v1/blobs", HELLO)).status == 404


class TestSockets:
    @pytest.fixture
    async def kept(self, open_stage: OpenStage, tmp_path: Path) -> Stage:
        """A stage that keeps its files in a folder."""
        return await open_stage(engines={"blobs": {"url": f"file://{tmp_path}/blobs"}})

    async def test_much_goes_through_both_ways(self, kept: Stage, serve: Serve) -> None:
        content = os.urandom(5 << 20)
        async with await Wire.open(await serve(kept)) as wire:
            await wire.send(request(PLACE, content, "PUT"))
            assert (await wire.response()).status == 201
            assert (await wire.ask(PLACE, method="GET")).body == content

    async def test_more_than_a_message_may_have_goes_through(self, kept: Stage, serve: Serve) -> None:
        async with await Wire.open(await serve(kept, max_body=1_024, max_buffered=1 << 20)) as wire:
            await wire.send(request(PLACE, bytes(100_000), "PUT"))
            assert (await wire.response()).status == 201

    async def test_chunks_are_taken(self, kept: Stage, serve: Serve) -> None:
        async with await Wire.open(await serve(kept)) as wire:
            await wire.send(request(PLACE, method="PUT", headers=["Transfer-Encoding: chunked"]))
            await wire.send(b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n")
            assert (await wire.response()).json()["size"] == 11

    async def test_a_sender_cut_off_in_the_middle_leaves_nothing(
        self, kept: Stage, serve: Serve, tmp_path: Path
    ) -> None:
        staging = tmp_path / "blobs" / "staging"
        async with await Wire.open(await serve(kept)) as wire:
            await wire.send(request(PLACE, bytes(3 << 20), "PUT", length=4 << 20))
            await until(lambda: any(staging.iterdir()))
        await until(lambda: not any(staging.iterdir()))
        assert await usage(kept) == (0, 0)

    async def test_a_full_disk_is_told_and_leaves_nothing(
        self, kept: Stage, serve: Serve, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(*_: Any) -> int:
            raise OSError(28, "No space left on device")

        async with await Wire.open(await serve(kept)) as wire:
            with monkeypatch.context() as patch:
                patch.setattr(os, "pwrite", full)
                await wire.send(request(PLACE, HELLO, "PUT"))
                answer = await wire.response()
        assert (answer.status, answer.json()["code"]) == (503, "unavailable")
        assert await usage(kept) == (0, 0)

    async def test_a_body_has_the_time_it_needs_while_it_comes(self, kept: Stage, serve: Serve) -> None:
        limits = {"body_timeout": Duration.parse("1s"), "rate_min": Size(0)}
        async with await Wire.open(await serve(kept, **limits)) as wire:
            await wire.send(request(PLACE, b"", "PUT", length=24))
            for _ in range(24):
                await asyncio.sleep(0.05)
                await wire.send(b"x")
            assert (await wire.response()).status == 201

    async def test_a_body_that_does_not_come_on_is_given_up(self, kept: Stage, serve: Serve) -> None:
        async with await Wire.open(await serve(kept, body_timeout=Duration.parse("30ms"))) as wire:
            await wire.send(request(PLACE, b"hello", "PUT", length=12))
            assert (await wire.response()).status == 408
        assert await usage(kept) == (0, 0)

    async def test_what_is_refused_is_not_read_to_its_end(self, kept: Stage, serve: Serve) -> None:
        async with await Wire.open(await serve(kept)) as wire:
            await wire.send(request("/v1/blobs/none", bytes(1_000), "PUT", length=1 << 40))
            answer = await wire.response()
            assert (answer.status, answer.headers["connection"]) == (400, "close")

    async def test_a_connection_goes_on_after_what_was_read_to_its_end(self, kept: Stage, serve: Serve) -> None:
        async with await Wire.open(await serve(kept)) as wire:
            await wire.send(request(f"{PLACE}?nam=x", method="GET"))
            assert (await wire.response()).status == 404
            assert (await wire.ask(PLACE, method="DELETE")).status == 404

    async def test_a_reader_that_leaves_stops_the_reading(self, kept: Stage, serve: Serve) -> None:
        async def chunks() -> AsyncIterator[bytes]:
            for _ in range(32):
                yield bytes(1 << 20)

        await kept.files.put(chunks(), blob=ID)
        async with await Wire.open(await serve(kept)) as wire:
            wire.pause()
            await wire.send(request(PLACE, method="GET"))
            await until(lambda: kept.files.sent)
        sent = kept.files.sent
        await until(lambda: not [each for each in asyncio.all_tasks() if "Exchange.run" in repr(each)])
        assert sent <= kept.files.sent < 32 << 20

    async def test_damage_breaks_the_response_off(self, kept: Stage, serve: Serve, tmp_path: Path) -> None:
        async def chunks() -> AsyncIterator[bytes]:
            for _ in range(3):
                yield bytes(1 << 20)

        await kept.files.put(chunks(), blob=ID)
        blobs = kept.engines.blobs("blobs", "")
        assert isinstance(blobs, FileBlobs)
        (path,) = [path for path in (tmp_path / "blobs" / "objects").glob("*/*") if path.is_file()]
        with path.open("r+b") as stream:
            stream.seek((2 << 20) + 5_000)
            stream.write(b"x")
        async with await Wire.open(await serve(kept)) as wire:
            await wire.send(request(PLACE, method="GET"))
            assert len(await wire.closed()) < 3 << 20
        async with await Wire.open(await serve(kept)) as wire:
            answer = await wire.ask(PLACE, method="GET", headers=[f"Range: bytes={2 << 20}-"])
            assert (answer.status, answer.json()["code"]) == (500, "data_loss")
