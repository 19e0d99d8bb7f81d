"""Whatever the HTTP client raises and a cluster answers is an error of the tree, in every call of the port."""

from __future__ import annotations

import inspect
import ssl
from collections.abc import AsyncIterator, Iterator
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import httpx2
import msgspec
import pytest
from tests.engines.walk.calls import INDEX, At, call, calls_of
from tests.engines.walk.faults import Fault, Told, refusal, told

from soundstage.core.environment import VirtualEnvironment
from soundstage.engines.search.opensearch import OpenSearchSearch, parse_address
from soundstage.engines.search.opensearch.mapping import settings
from soundstage.engines.search.opensearch.options import OpenSearchOptions
from soundstage.engines.search.port import Request
from soundstage.engines.search.queries import Distinct

CALLS = calls_of("search", OpenSearchSearch)
AWAY, SILENT, BUSY = Told("unavailable", True), Told("unavailable", True), Told("exhausted", True)
FINAL = Told("unavailable", False)
DEFECT = Told("internal", False)

RAISED: dict[str, Told] = {
    "CloseError": AWAY,
    "ConnectError": AWAY,
    "ConnectTimeout": AWAY,
    "CookieConflict": DEFECT,
    "DecodingError": AWAY,
    "HTTPError": AWAY,
    "HTTPStatusError": AWAY,
    "InvalidURL": DEFECT,
    "LocalProtocolError": AWAY,
    "NetworkError": AWAY,
    "PoolTimeout": BUSY,
    "ProtocolError": AWAY,
    "ProxyError": AWAY,
    "ReadError": AWAY,
    "ReadTimeout": SILENT,
    "RemoteProtocolError": AWAY,
    "RequestError": AWAY,
    "RequestNotRead": AWAY,
    "ResponseNotRead": AWAY,
    "SSEError": AWAY,
    "StreamClosed": AWAY,
    "StreamConsumed": AWAY,
    "StreamError": AWAY,
    "TimeoutException": SILENT,
    "TooManyRedirects": AWAY,
    "TransportError": AWAY,
    "UnsupportedProtocol": DEFECT,
    "WriteError": AWAY,
    "WriteTimeout": SILENT,
}
"""What a caller is told of each exception of the client."""

ANSWERED: dict[int, Told] = {
    401: Told("unauthenticated", False),
    403: Told("forbidden", False),
    404: Told("not_found", False),
    408: AWAY,
    413: Told("too_large", False),
    429: BUSY,
    502: AWAY,
    503: AWAY,
    504: AWAY,
}
"""And of each status; of all others, that it is a defect."""

CAUSES: dict[tuple[int, str], Told] = {
    (404, "index_not_found_exception"): Told("not_found", False),
    (400, "resource_already_exists_exception"): Told("already_exists", False),
    (400, "invalid_alias_name_exception"): Told("already_exists", False),
    (400, "invalid_index_name_exception"): Told("already_exists", False),
    (503, "too_many_buckets_exception"): Told("too_large", False),
    (429, "circuit_breaking_exception"): Told("too_large", False),
    (403, "cluster_block_exception"): AWAY,
    (429, "rejected_execution_exception"): BUSY,
    (503, "no_shard_available_action_exception"): AWAY,
    (400, "parsing_exception"): DEFECT,
}
"""What some statuses mean with a cause."""


class Client:
    """What stands below the client: a healthy cluster that knows one index, or what is raised or said instead."""

    def __init__(self) -> None:
        self.fault = Fault()
        self.says: tuple[int, bytes] | None = None

    async def handle(self, _transport: Any, request: httpx2.Request) -> httpx2.Response:
        """In place of sending the request."""
        self.fault.strike()
        if self.says is not None:
            self.fault.met += 1
            status, body = self.says
        else:
            status, body = 200, self.body(request.url.path)
        return httpx2.Response(status, stream=httpx2.ByteStream(body), request=request)

    def body(self, path: str) -> bytes:
        if path == "/main-films/_mapping":
            return msgspec.json.encode({"main-films": {"mappings": settings(INDEX, OpenSearchOptions())["mappings"]}})
        return msgspec.json.encode({"version": {"distribution": "opensearch", "number": "2.19.1"}})


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Client:
    made = Client()

    async def handle(transport: Any, request: httpx2.Request) -> httpx2.Response:
        return await made.handle(transport, request)

    monkeypatch.setattr(httpx2.AsyncHTTPTransport, "handle_async_request", handle)
    return made


@pytest.fixture
async def search(client: Client) -> AsyncIterator[At]:
    assert client
    address = parse_address("walk", urlsplit("opensearch://127.0.0.1/main"), {"patience_s": 1.0}, None)
    engine = OpenSearchSearch(address, VirtualEnvironment())
    await engine.start()
    yield At(engine)
    await engine.stop()


def classes() -> Iterator[type[Exception]]:
    """Every exception that the client declares."""
    for _, found in inspect.getmembers(httpx2, inspect.isclass):
        if issubclass(found, Exception):
            yield found


def made(kind: type[Exception]) -> Exception:
    """One of a class, whatever it is made from."""
    error = kind.__new__(kind)
    Exception.__init__(error, "said by the client")
    return error


KINDS = {kind.__name__: kind for kind in classes()}


def test_every_exception_of_the_client_has_its_meaning() -> None:
    assert set(RAISED) == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["get", "bulk"])
async def test_an_exception_of_the_client_is_told_as_what_it_means(
    search: At, client: Client, name: str, kind: str
) -> None:
    client.fault.error = made(KINDS[kind])
    error = await refusal(call("search", name, search))
    assert error is not None
    assert told(error) == RAISED[kind]


@pytest.mark.parametrize("status", [each.value for each in HTTPStatus if each >= 400])
@pytest.mark.parametrize("name", ["search", "bulk"])
async def test_a_status_is_told_as_what_it_means(search: At, client: Client, name: str, status: int) -> None:
    client.says = (status, b'{"error": "said by the cluster"}')
    error = await refusal(call("search", name, search))
    assert error is not None
    assert told(error) == ANSWERED.get(status, DEFECT)


@pytest.mark.parametrize(("status", "cause"), CAUSES)
async def test_a_cause_says_more_than_its_status(search: At, client: Client, status: int, cause: str) -> None:
    said = {"type": cause, "reason": "said by the cluster"}
    client.says = (status, msgspec.json.encode({"error": {**said, "root_cause": [said]}}))
    error = await refusal(call("search", "search", search))
    assert error is not None
    assert told(error) == CAUSES[status, cause]


@pytest.mark.parametrize("kind", ["ConnectError", "ReadTimeout", "PoolTimeout", "InvalidURL", "StreamConsumed"])
@pytest.mark.parametrize("name", CALLS)
async def test_no_exception_of_the_client_passes_a_call(search: At, client: Client, name: str, kind: str) -> None:
    client.fault.error = made(KINDS[kind])
    error = await refusal(call("search", name, search))
    assert client.fault.met
    assert error is not None
    assert told(error) == RAISED[kind]


@pytest.mark.parametrize("status", [401, 403, 429, 500, 503])
@pytest.mark.parametrize("name", CALLS)
async def test_no_status_passes_a_call(search: At, client: Client, name: str, status: int) -> None:
    client.says = (status, b"{}")
    error = await refusal(call("search", name, search))
    assert error is not None
    assert told(error) == ANSWERED.get(status, DEFECT)


@pytest.mark.parametrize("status", [each.value for each in HTTPStatus if 400 <= each < 500])
async def test_what_another_server_refuses_is_no_answer_of_a_cluster(search: At, client: Client, status: int) -> None:
    client.says = (status, b"<html>said by another server</html>")
    error = await refusal(call("search", "search", search))
    assert error is not None
    assert told(error) == (FINAL if status == 404 else ANSWERED.get(status, FINAL))


SHAPES = [b"", b"null", b"[]", b"{}", b'{"items": 7}', b'{"docs": [{}]}', b'{"hits": {}}', b"<html>"]


@pytest.mark.parametrize("body", SHAPES)
@pytest.mark.parametrize("name", CALLS)
async def test_what_is_no_answer_of_a_cluster_is_told_as_such(
    search: At, client: Client, name: str, body: bytes
) -> None:
    client.says = (200, body)
    error = await refusal(call("search", name, search))
    if error is not None:
        assert told(error).code in ("unavailable", "not_found", "already_exists", "internal")


@pytest.mark.parametrize("found", [{}, {"years": 7}, {"years": {}}, {"years": {"value": "many"}}])
async def test_counts_that_are_none_are_no_answer_of_a_cluster(search: At, client: Client, found: Any) -> None:
    # From here on the index is known.
    assert await refusal(call("search", "search", search)) is not None
    said = {"hits": {"hits": []}, "_shards": {}, "aggregations": found}
    client.says = (200, msgspec.json.encode(said))
    error = await refusal(search.search("films", Request(aggregations={"years": Distinct(field="year")})))
    assert error is not None
    assert told(error) == AWAY


@pytest.mark.parametrize("error", [ssl.SSLCertVerificationError("expired"), OSError("reset"), RuntimeError("closed")])
async def test_a_cluster_that_cannot_be_reached_ends_the_start(client: Client, error: Exception) -> None:
    client.fault.error = httpx2.ConnectError(str(error))
    client.fault.error.__cause__ = error
    address = parse_address("walk", urlsplit("opensearch://127.0.0.1/main"), {"patience_s": 1.0}, None)
    refused = await refusal(OpenSearchSearch(address, VirtualEnvironment()).start())
    assert refused is not None
    assert told(refused) == (FINAL if isinstance(error, ssl.SSLError) else AWAY)
