"""What the engine makes of answers that no healthy node gives: those of a server that says what it is told to."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import pytest

from soundstage.core.environment import SystemEnvironment, VirtualEnvironment
from soundstage.core.errors import NotFound, SoundstageError
from soundstage.engines.search.opensearch import OpenSearchSearch, link, parse_address
from soundstage.engines.search.opensearch.mapping import settings
from soundstage.engines.search.opensearch.options import OpenSearchOptions
from soundstage.engines.search.port import Field, IndexSpec, Kind, Nearest, Put, Request, Status
from soundstage.engines.search.queries import All

SPEC = IndexSpec(name="films", fields={"year": Field(kind=Kind.INTEGER), "mood": Field(kind=Kind.VECTOR, dimensions=1)})
MAPPING = {"main-films": {"mappings": settings(SPEC, OpenSearchOptions())["mappings"]}}

Said: TypeAlias = tuple[int, Any]


class Node:
    """Answers `GET`s like a healthy node, and everything else as `first` and then `says` have it.

    The alias `shown` is at the index `place`.
    """

    def __init__(self) -> None:
        self.place = "main-films"
        self.says: Said | bytes = (200, {})
        self.first: list[Said | bytes] = []
        self.silent = False
        self.trickles = False
        self.takes: Callable[[], None] = lambda: None
        self.heard = asyncio.Semaphore(0)
        self.over = asyncio.Event()
        self.asked: list[tuple[str, str, str]] = []
        self.server: asyncio.Server | None = None

    async def start(self) -> str:
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return f"opensearch://127.0.0.1:{self.server.sockets[0].getsockname()[1]}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                text = head.decode()
                method, path, _ = text.split("\r\n")[0].split(" ")
                headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in text.split("\r\n")[1:])}
                await reader.readexactly(int(headers.get("content-length", "0")))
                self.asked.append((method, path, headers.get("authorization", "")))
                if self.silent:
                    self.heard.release()
                    await self.over.wait()
                    break
                if self.trickles:
                    await self._trickle(writer)
                    break
                self.takes()
                said = self._said(method, path)
                writer.write(said if isinstance(said, bytes) else _http(*said))
                await writer.drain()
                if isinstance(said, bytes):
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _trickle(self, writer: asyncio.StreamWriter) -> None:
        """An answer that goes on and on, and whoever waits for its end is never told of a silence."""
        writer.write(b"HTTP/1.1 200 X\r\ncontent-type: application/json\r\ncontent-length: 1000000\r\n\r\n")
        while not self.over.is_set():
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.01)

    def _said(self, method: str, path: str) -> Said | bytes:
        if method == "GET" and path == "/":
            return 200, {"version": {"distribution": "opensearch", "number": "2.19.1"}}
        if method == "GET" and path == "/main-films/_mapping":
            return 200, MAPPING
        if method == "GET" and path == "/main-shown/_mapping":
            return 200, {self.place: MAPPING["main-films"]}
        return self.first.pop(0) if self.first else self.says


def _http(status: int, body: Any) -> bytes:
    content = json.dumps(body).encode()
    return b"HTTP/1.1 %d X\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (
        status,
        len(content),
        content,
    )


@pytest.fixture
async def node() -> AsyncIterator[Node]:
    made = Node()
    yield made
    made.over.set()
    if made.server is not None:
        made.server.close()


Open: TypeAlias = Callable[..., Any]


@pytest.fixture
async def search(node: Node) -> AsyncIterator[OpenSearchSearch]:
    address = parse_address("a", urlsplit(await node.start()), {"patience_s": 0.3}, None)
    engine = OpenSearchSearch(address, SystemEnvironment())
    await engine.start()
    yield engine
    await engine.stop()


def error(type: str, reason: str = "why") -> dict[str, Any]:
    cause = {"type": type, "reason": reason}
    return {"error": {**cause, "root_cause": [cause]}}


ANSWERS: dict[str, tuple[Said | bytes, str]] = {
    "who is not known": ((401, {}), "unauthenticated"),
    "who has not the right": ((403, error("security_exception")), "forbidden"),
    "a block": ((403, error("cluster_block_exception")), "unavailable"),
    "a full disk": ((429, error("cluster_block_exception", "disk usage exceeded flood-stage watermark")), "exhausted"),
    "no room for an index": ((403, error("index_create_block_exception", "create-index blocked")), "exhausted"),
    "too much at once": ((429, error("rejected_execution_exception")), "exhausted"),
    "no memory": ((429, error("circuit_breaking_exception")), "too_large"),
    "no cluster": ((503, error("no_cluster_manager")), "unavailable"),
    "a proxy": ((502, "<html>"), "unavailable"),
    "a mistake of ours": ((400, error("parsing_exception")), "internal"),
    "a failure": ((500, {"error": "text"}), "internal"),
    "nothing": (b"", "unavailable"),
    "half an answer": (b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{", "unavailable"),
    "another protocol": (b"SSH-2.0-OpenSSH\r\n", "unavailable"),
    "no JSON": (b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nyes", "unavailable"),
}


class Whole(random.Random):
    """Makes each pause as long as it may be."""

    def uniform(self, a: float, b: float) -> float:
        return b


@pytest.fixture
async def tireless(node: Node) -> AsyncIterator[OpenSearchSearch]:
    """Pauses cost no time, and almost a second is left for the last attempt."""
    environment = VirtualEnvironment()
    environment.random = Whole()
    pauses_s = [0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0]
    engine = OpenSearchSearch(
        parse_address("a", urlsplit(await node.start()), {"patience_s": sum(pauses_s) + 0.95}, None), environment
    )
    await engine.start()
    yield engine
    await engine.stop()


CALLS: dict[str, Callable[[OpenSearchSearch], Any]] = {
    "search": lambda search: search.search("films", Request()),
    "get": lambda search: search.get("films", ["1"]),
    "bulk": lambda search: search.bulk("films", [Put("1", {})]),
    "refresh": lambda search: search.refresh("films"),
    "delete_where": lambda search: search.delete_where("films", All()),
    "nearest": lambda search: search.nearest("films", Nearest(field="mood", vector=[1.0])),
    "indexes": lambda search: search.indexes(),
    "point": lambda search: search.point("shown", "films"),
}


@pytest.mark.parametrize("case", ANSWERS)
async def test_no_answer_is_anything_but_an_error_of_ours(tireless: OpenSearchSearch, node: Node, case: str) -> None:
    node.says, code = ANSWERS[case]
    found: dict[str, str] = {}
    for name, call in CALLS.items():
        with pytest.raises(SoundstageError) as refusal:
            await call(tireless)
        found[name] = refusal.value.code
    assert found == dict.fromkeys(CALLS, code)


async def test_no_attempt_begins_that_would_hide_what_the_last_one_was_told(node: Node) -> None:
    environment = VirtualEnvironment()
    address = parse_address("a", urlsplit(await node.start()), {"patience_s": 60.0}, None)
    engine = OpenSearchSearch(address, environment)
    await engine.start()
    await engine.get("films", [])
    node.says = (429, error("rejected_execution_exception"))
    node.takes = lambda: environment.advance(31)
    with pytest.raises(SoundstageError) as refusal:
        await engine.bulk("films", [Put("1", {})])
    assert (refusal.value.code, refusal.value.outcome) == ("exhausted", "not_applied")
    assert len([path for method, path, _ in node.asked if method == "POST" and "_bulk" in path]) == 1
    await engine.stop()


async def test_a_write_is_not_sent_again_when_it_may_have_been_made(search: OpenSearchSearch, node: Node) -> None:
    node.says = b""
    with pytest.raises(SoundstageError) as refusal:
        await search.bulk("films", [Put("1", {})])
    assert refusal.value.outcome == "unknown"
    assert len([path for method, path, _ in node.asked if method == "POST" and "_bulk" in path]) == 1


async def test_a_write_that_was_turned_away_is_sent_again(node: Node) -> None:
    address = parse_address("a", urlsplit(await node.start()), {"patience_s": 60}, None)
    search = OpenSearchSearch(address, SystemEnvironment())
    await search.start()
    node.first = [(429, error("rejected_execution_exception"))]
    node.says = (200, {"items": [{"index": {"status": 201, "_seq_no": 0, "_primary_term": 1}}]})
    assert [each.status for each in await search.bulk("films", [Put("1", {})])] == [Status.APPLIED]
    await search.stop()


async def test_a_question_whose_connection_was_lost_is_asked_again(node: Node) -> None:
    address = parse_address("a", urlsplit(await node.start()), {"patience_s": 60}, None)
    search = OpenSearchSearch(address, SystemEnvironment())
    await search.start()
    node.first = [b"", (503, error("no_cluster_manager"))]
    node.says = (200, {"docs": [{"_id": "1", "found": False}]})
    assert await search.get("films", ["1"]) == [None]
    await search.stop()


async def test_an_action_without_room_is_rejected_by_itself(search: OpenSearchSearch, node: Node) -> None:
    full = {"status": 429, "error": {"type": "rejected_execution_exception", "reason": "queue is full"}}
    made = {"status": 201, "result": "created", "_seq_no": 4, "_primary_term": 1}
    node.says = (200, {"items": [{"index": full}, {"index": made}]})
    outcomes = await search.bulk("films", [Put("1", {}), Put("2", {})])
    assert [each.status for each in outcomes] == [Status.REJECTED, Status.APPLIED]
    assert (outcomes[0].reason, outcomes[1].revision) == ("queue is full", "4.1")


FULL = {"type": "cluster_block_exception", "reason": "[TOO_MANY_REQUESTS/12/disk usage exceeded flood-stage watermark]"}


async def test_where_no_action_has_room_on_the_disk_the_call_says_so(search: OpenSearchSearch, node: Node) -> None:
    node.says = (200, {"items": [{"index": {"status": 429, "error": FULL}}] * 2})
    with pytest.raises(SoundstageError, match="no room on its disk") as refusal:
        await search.bulk("films", [Put("1", {}), Put("2", {})])
    assert (refusal.value.code, refusal.value.retryable, refusal.value.outcome) == ("exhausted", True, "not_applied")


async def test_where_the_disk_fills_amid_a_call_each_action_says_what_became_of_it(
    search: OpenSearchSearch, node: Node
) -> None:
    made = {"status": 201, "result": "created", "_seq_no": 4, "_primary_term": 1}
    node.says = (200, {"items": [{"index": {"status": 429, "error": FULL}}, {"index": made}]})
    outcomes = await search.bulk("films", [Put("1", {}), Put("2", {})])
    assert [each.status for each in outcomes] == [Status.REJECTED, Status.APPLIED]


async def test_a_write_that_a_full_disk_refuses_is_not_sent_again(search: OpenSearchSearch, node: Node) -> None:
    node.says = (429, {"error": {**FULL, "root_cause": [FULL]}})
    before = len(node.asked)
    with pytest.raises(SoundstageError) as refusal:
        await search.point("shown", "films")
    assert refusal.value.code == "exhausted"
    assert [method for method, _, _ in node.asked[before:]].count("POST") == 1


async def test_an_answer_of_some_shards_is_none(search: OpenSearchSearch, node: Node) -> None:
    node.says = (200, {"_shards": {"failures": [{"reason": {"type": "x"}}]}, "hits": {"hits": []}})
    with pytest.raises(SoundstageError) as refusal:
        await search.search("films", Request())
    assert refusal.value.code == "unavailable"


async def test_a_search_is_of_all_shards_or_fails(search: OpenSearchSearch, node: Node) -> None:
    node.says = (200, {"_shards": {}, "hits": {"total": {"value": 0}, "hits": []}})
    await search.search("films", Request())
    await search.nearest("films", Nearest(field="mood", vector=[1.0]))
    asked = [path for _, path, _ in node.asked if "_search" in path]
    assert asked == ["/main-films/_search?allow_partial_search_results=false"] * 2


async def test_a_document_whose_shard_does_not_answer_is_not_called_absent(
    search: OpenSearchSearch, node: Node
) -> None:
    lost = {"_id": "2", **error("no_shard_available_action_exception")}
    node.says = (200, {"docs": [{"_id": "1", "found": False}, lost]})
    with pytest.raises(SoundstageError) as refusal:
        await search.get("films", ["1", "2"])
    assert refusal.value.code == "unavailable"


async def test_too_many_buckets_are_not_counted_again(node: Node) -> None:
    address = parse_address("a", urlsplit(await node.start()), {"patience_s": 60}, None)
    search = OpenSearchSearch(address, SystemEnvironment())
    await search.start()
    node.first = [(503, error("too_many_buckets_exception"))]
    with pytest.raises(SoundstageError) as refusal:
        await search.search("films", Request())
    assert refusal.value.code == "too_large"
    await search.stop()


GONE = (404, error("index_not_found_exception"))
EMPTY = {"_shards": {}, "hits": {"total": {"value": 0}, "hits": []}}
MOVED: dict[str, tuple[Callable[[OpenSearchSearch], Any], Said, Any]] = {
    "search": (lambda search: search.search("shown", Request()), GONE, EMPTY),
    "nearest": (lambda search: search.nearest("shown", Nearest(field="mood", vector=[1.0])), GONE, EMPTY),
    "get": (
        lambda search: search.get("shown", ["1"]),
        (200, {"docs": [{"_id": "1", **error("index_not_found_exception")}]}),
        {"docs": [{"_id": "1", "found": False}]},
    ),
    "bulk": (
        lambda search: search.bulk("shown", [Put("1", {})]),
        (200, {"items": [{"index": {"status": 404, **error("index_not_found_exception")}}]}),
        {"items": [{"index": {"status": 201, "_seq_no": 0, "_primary_term": 1}}]},
    ),
    "refresh": (lambda search: search.refresh("shown"), GONE, {}),
    "delete_where": (lambda search: search.delete_where("shown", All()), GONE, {"deleted": 0}),
}


@pytest.mark.parametrize("case", MOVED)
async def test_a_call_by_an_alias_that_was_pointed_elsewhere_is_made_there(node: Node, case: str) -> None:
    call, gone, answer = MOVED[case]
    address = parse_address("a", urlsplit(await node.start()), {"patience_s": 60}, None)
    search = OpenSearchSearch(address, SystemEnvironment())
    await search.start()
    await search.get("shown", [])
    node.place, node.says = "main-films-2", (200, answer)
    node.first.append(gone)
    await call(search)
    assert node.asked[-1][1].startswith("/main-films-2/")
    node.says = gone
    with pytest.raises(NotFound):
        await call(search)
    await search.stop()


async def test_after_a_node_that_was_silent_the_next_is_asked(node: Node) -> None:
    other = Node()
    urls = await node.start(), await other.start()
    address = parse_address("a", urlsplit(",".join([urls[0], urls[1].removeprefix("opensearch://")])), {}, None)
    search = OpenSearchSearch(address, SystemEnvironment())
    await search.start()
    await search.get("films", [])
    node.silent = True
    silent = [
        search.get("films", ["1"], deadline_ns=SystemEnvironment().monotonic_ns() + 500_000_000) for _ in range(2)
    ]
    refusals = await asyncio.gather(*silent, return_exceptions=True)
    assert [getattr(each, "code", None) for each in refusals] == ["deadline", "deadline"]
    other.says = (200, {"docs": [{"_id": "1", "found": False}]})
    assert await search.get("films", ["1"]) == [None]
    await search.stop()
    assert other.server is not None
    other.server.close()


async def test_the_password_is_the_first_line_of_its_file(node: Node, tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("open sesame\nnot this\n")
    url = (await node.start()).replace("//", "//ali@")
    engine = OpenSearchSearch(parse_address("a", urlsplit(url), {}, str(secret)), SystemEnvironment())
    await engine.start()
    await engine.stop()
    assert node.asked[0][2] == "Basic YWxpOm9wZW4gc2VzYW1l"


async def test_an_answer_of_too_many_bytes_is_asked_for_in_smaller_parts(
    search: OpenSearchSearch, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "ANSWER_MAX_BYTES", 600)
    hit = {"_id": "1", "_source": {"year": 1}, "_seq_no": 0, "_primary_term": 1, "_score": 1.0}
    found = {"_shards": {}, "hits": {"total": {"value": 9}, "hits": [hit]}}
    large = {"_shards": {}, "hits": {"total": {"value": 9}, "hits": [hit] * 9}}
    node.first = [(200, large), (200, found)]
    page = await search.search("films", Request(limit=9))
    assert (len(page.hits), page.after is not None) == (1, True)
    node.says = (200, large)
    for call in (
        search.search("films", Request(limit=1)),
        search.nearest("films", Nearest(field="mood", vector=[1.0])),
    ):
        with pytest.raises(SoundstageError) as refusal:
            await call
        assert refusal.value.code == "too_large"


async def test_calls_that_are_under_way_when_the_engine_stops_are_told_so(node: Node) -> None:
    address = parse_address("a", urlsplit(await node.start()), {"patience_s": 60}, None)
    search = OpenSearchSearch(address, SystemEnvironment())
    await search.start()
    await search.get("films", [])
    node.silent = True
    calls: list[asyncio.Task[Any]] = [
        asyncio.create_task(search.search("films", Request())),
        asyncio.create_task(search.bulk("films", [Put("1", {})])),
    ]
    for _ in calls:
        await node.heard.acquire()
    await search.stop()
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert [getattr(each, "code", None) for each in results] == ["unavailable", "unavailable"]


@pytest.mark.parametrize("how", ["silent", "trickles"])
async def test_a_node_that_does_not_come_to_an_end_is_waited_for_no_longer_than_said(
    search: OpenSearchSearch, node: Node, how: str
) -> None:
    await search.get("films", [])
    setattr(node, how, True)
    async with asyncio.timeout(30):
        with pytest.raises(SoundstageError) as refusal:
            await search.get("films", ["1"])
        assert (refusal.value.code, refusal.value.outcome) == ("unavailable", "unknown")
        with pytest.raises(SoundstageError) as refusal:
            await search.get("films", ["1"], deadline_ns=SystemEnvironment().monotonic_ns() + 200_000_000)
        assert (refusal.value.code, refusal.value.outcome) == ("deadline", "unknown")
