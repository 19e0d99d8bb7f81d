"""The asynchronous connection: requests over HTTP with deadlines, retries and hedges."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing, asynccontextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

import httpx2
import msgspec

from soundstage.client.attuning import Attuning, Statistics
from soundstage.client.following import Following
from soundstage.client.network import late, network_error
from soundstage.client.pool import Pool
from soundstage.client.settings import Settings, check_url
from soundstage.client.wire import Wire, header_value, trace_parent
from soundstage.core.attunement import SIGNALS_HEADER, Attunement, attunement_of
from soundstage.core.call import DEFAULT_OPTIONS, CallOptions
from soundstage.core.environment import Environment, SystemEnvironment
from soundstage.core.errors import (
    DeadlineExceeded,
    Exhausted,
    InvalidArgument,
    SoundstageError,
    TokenDrift,
    TokenReused,
    Unavailable,
)
from soundstage.core.hlc import TokenClock
from soundstage.core.ids import request_id, uuid4_hex
from soundstage.core.observation import observer
from soundstage.core.operation import AsyncFace, Operation, face_of
from soundstage.core.policy import (
    Resumption,
    hedge_budget,
    hedged,
    policy_of,
    repeatable,
    retry_budget,
    retrying,
    with_token,
)
from soundstage.core.recall import Recalls
from soundstage.core.streaming import Content, DownloadOperation, UploadOperation
from soundstage.core.transfers import FileAccess, Source

if TYPE_CHECKING:
    from soundstage.client.streams import RemoteStreams
    from soundstage.client.transfers import Transfers

F = TypeVar("F", bound=AsyncFace)

_ANSWER_MARGIN_S = 0.25
"""The server ends a call by its deadline; this lets its answer arrive."""

_KEEP_ALIVE_S = 30
"""Less than servers and what stands between wait before they close an idle connection."""

_ONE = httpx2.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=_KEEP_ALIVE_S)


class Connection:
    """A stage reached over HTTP; opened by `connect`, closed by `close` or `async with`.

    Writes carry a token made here before they are first sent, so that their repetition is the same
    write. Errors are those of `soundstage.core.errors`, whether the server or the network made them.
    """

    def __init__(
        self, url: str, settings: Settings, environment: Environment, transport: httpx2.AsyncBaseTransport
    ) -> None:
        self.url = url
        self.settings = settings
        self.environment = environment
        self.clock: TokenClock = TokenClock(environment)
        self._transport = transport
        self._wire = Wire(settings)
        self._head = [(b"host", httpx2.URL(url).netloc), *self._wire.headers()]
        self._urls: dict[str, httpx2.URL] = {}
        self._closed = False
        self._retries = retry_budget()
        self._hedges = hedge_budget()
        self._recalls = Recalls(environment)
        self._attuning = Attuning(self._ask, environment, settings.max_reply_bytes)

    @property
    def statistics(self) -> Statistics:
        """What the connection did of itself so far."""
        return self._attuning.statistics()

    @property
    def files(self) -> FileAccess:
        """The files of the stage; as `Stage.files`."""
        from soundstage.client.files import RemoteFiles

        return RemoteFiles(self._transfers())

    async def __aenter__(self) -> Connection:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def client(self, face: type[F], namespace: str = "") -> F:
        """A typed client of the system that `face` belongs to, bound to `namespace`."""
        return face_of(AsyncFace, face)(self, namespace)

    async def close(self) -> None:
        """The sockets are closed, and no call is taken any more; idempotent."""
        self._closed = True
        await self._transport.aclose()

    async def invoke(self, operation: Operation[..., Any], request: Any, options: CallOptions) -> Any:
        """The reply to `request`, retried and hedged where a repetition is safe, within the deadline."""
        if self._closed:
            raise _closed()
        deadline_ns = self._deadline_ns(self.settings.timeout if options.deadline is None else options.deadline)
        recall = self._recalls.of(operation)
        if recall is None:
            return await self._invoke(operation, request, options, deadline_ns)

        async def send(request: Any) -> Any:
            return await self._invoke(operation, request, options, deadline_ns)

        return await recall.around(operation, request, send)

    async def _invoke(
        self, operation: Operation[..., Any], request: Any, options: CallOptions, deadline_ns: int
    ) -> Any:
        attunement = self._attunement(operation)
        if attunement is None:
            return await self._exchange(None, operation, request, options, deadline_ns)
        wanted = await self._attuning.outgoing(attunement, operation, request, deadline_ns)
        if wanted is request:
            return await self._exchange(attunement, operation, request, options, deadline_ns)
        # In either form it is one write: a try that nobody heard of may have been applied.
        wanted = with_token(operation, wanted, self.clock)
        try:
            return await self._exchange(attunement, operation, wanted, options, deadline_ns)
        except InvalidArgument as error:
            if isinstance(error, TokenDrift):
                raise
        # A namespace that was made anew may take none of it. Where it was the caller's fault it is refused once more.
        self._attuning.doubt(attunement, operation, request)
        request = msgspec.structs.replace(request, idempotency_token=wanted.idempotency_token)
        try:
            return await self._exchange(attunement, operation, request, options, deadline_ns)
        except TokenReused:
            # It was applied as it was first sent, and the server remembers that, whatever it takes by now.
            return await self._exchange(attunement, operation, wanted, options, deadline_ns)
        except SoundstageError as error:
            if error.outcome == "not_applied":
                # What was refused at last may have been taken at first.
                error.outcome = "unknown"
            raise

    async def _exchange(
        self,
        attunement: Attunement | None,
        operation: Operation[..., Any],
        request: Any,
        options: CallOptions,
        deadline_ns: int,
    ) -> Any:
        request = with_token(operation, request, self.clock)
        if operation.keyed is not None and operation.keyed(request):
            options = self._keyed(options)
        body = self._wire.encode(request)
        headers = self._headers(options)

        safe = repeatable(operation, request, options)
        told: str | None = None
        if attunement is not None and operation.namespaced and isinstance(request.namespace, str):
            told = request.namespace

        async def attempt() -> Any:
            return await self._send(operation, body, headers, deadline_ns, safe, told)

        reply = await self._repeat(operation, told, options, attempt, deadline_ns, safe)
        self._observe(operation, reply)
        if attunement is None or not attunement.is_coded(operation, reply):
            return reply
        return await self._understood(operation, request, reply, options, deadline_ns)

    async def follow(self, operation: Operation[..., Any], request: Any, options: CallOptions) -> AsyncGenerator[Any]:
        """The messages of a feed, going on after its last cursor when the connection is lost for a while.

        With a deadline the feed ends there, with `DeadlineExceeded`. Close it (`aclosing`) to stop early.
        """
        if self._closed:
            raise _closed()
        deadline_ns = None if options.deadline is None else self._deadline_ns(options.deadline)

        async def opened(body: bytes, media_type: bytes, accept: bytes, silence_s: float) -> httpx2.Response:
            left_s = None if deadline_ns is None else self._remaining_s(deadline_ns)
            headers = [pair for pair in self._headers(options) if pair[0] not in (b"content-type", b"accept")]
            headers += [(b"content-type", media_type), (b"accept", accept)]
            return await self._opened(operation, body, headers, left_s, silence_s)

        attunement = self._attunement(operation)
        following = Following(operation, opened, self.url, self.settings, self.environment)
        async with aclosing(following.messages(request)) as messages:
            async for message in messages:
                self._observe(operation, message)
                if attunement is not None and attunement.is_coded(operation, message):
                    message = await self._understood(operation, request, message, options, deadline_ns)
                yield message

    async def start_job(self, operation: Operation[..., Any], request: Any, options: CallOptions) -> Any:
        """The job that `request` starts. It carries an `Idempotency-Key`, so that a lost answer starts no second."""
        from soundstage.core.jobs import StartedJob

        started = await self.invoke(operation, request, self._keyed(options))
        return StartedJob(self, started.job_id, operation.reply)

    async def upload(
        self, operation: UploadOperation[..., Any], request: Any, source: Source, options: CallOptions
    ) -> Any:
        """The reply to `request` with the bytes of `source`; repeated only where the source can be read again."""
        if self._closed:
            raise _closed()
        reply = await self._streams().upload(
            operation, request, source, options, lambda request: with_token(operation, request, self.clock)
        )
        self._observe(operation, reply)
        recall = self._recalls.of(operation)
        if recall is not None:
            recall.answered(request, reply)
        return reply

    @asynccontextmanager
    async def download(
        self, operation: DownloadOperation[..., Any], request: Any, options: CallOptions
    ) -> AsyncGenerator[Content[Any]]:
        """What `request` names, to be read within the block; goes on when the connection is lost for a while."""
        if self._closed:
            raise _closed()
        async with self._streams().download(operation, request, options) as content:
            self._observe(operation, content.info)
            yield content

    def _observe(self, operation: Operation[..., Any], told: Any) -> None:
        """Tokens made from here on are later than those that `told` has."""
        watch = observer(operation.answer)
        if watch is not None:
            self.clock.observe(watch(told))

    def _attunement(self, operation: Operation[..., Any]) -> Attunement | None:
        return attunement_of(operation) if self.settings.attune else None

    async def _understood(
        self, operation: Operation[..., Any], request: Any, message: Any, options: CallOptions, deadline_ns: int | None
    ) -> Any:
        """A reply, or a message of a feed, as its caller is to see it: what that needs is asked for as a read is."""
        resumption = Resumption(policy_of(self.settings.retry, options), self.environment)
        left_s = None
        if deadline_ns is not None:
            left_s = (deadline_ns - self.environment.monotonic_ns()) / 1e9 + _ANSWER_MARGIN_S
        understanding = self._attuning.understanding
        try:
            async with asyncio.timeout(None if left_s is None else max(0.0, left_s)):
                return await understanding.understood_at_last(operation, request, message, resumption)
        except TimeoutError:
            raise late(operation, True) from None

    async def _ask(self, operation: Operation[..., Any], request: Any, deadline_ns: int) -> Any:
        """The reply to a question of the connection's own, which is sent once."""
        body, headers = self._wire.encode(request), self._headers(DEFAULT_OPTIONS)
        return await self._send(operation, body, headers, deadline_ns, True, None)

    def _streams(self) -> RemoteStreams:
        from soundstage.client.streams import RemoteStreams

        return RemoteStreams(self._transfers())

    def _transfers(self) -> Transfers:
        from soundstage.client.transfers import Transfers

        return Transfers(self._send_file, self.url, self._wire, self.settings, self._retries, self.environment)

    def _keyed(self, options: CallOptions) -> CallOptions:
        if options.idempotency_key is not None:
            return options
        return msgspec.structs.replace(options, idempotency_key=uuid4_hex(self.environment))

    async def _opened(
        self,
        operation: Operation[..., Any],
        body: bytes,
        headers: list[tuple[bytes, bytes]],
        left_s: float | None,
        silence_s: float,
    ) -> httpx2.Response:
        """The response to a feed's request, its body not yet read; raises the problem it carries instead."""
        if left_s is not None:
            headers = [*headers, (b"soundstage-timeout", b"%dms" % max(1, round(left_s * 1_000)))]
        request = httpx2.Request(
            "POST",
            self._url_of(operation.path),
            headers=[*headers, (b"content-length", b"%d" % len(body))],
            stream=httpx2.ByteStream(body),
            extensions={"timeout": {"connect": silence_s, "pool": silence_s, "read": silence_s, "write": silence_s}},
        )
        response = await self._transport.handle_async_request(request)
        if response.status_code != 200:
            try:
                await self._wire.reply(operation, response)
            finally:
                await response.aclose()
        return response

    async def _send_file(
        self,
        method: str,
        path: str,
        headers: list[tuple[bytes, bytes]],
        stream: httpx2.AsyncByteStream,
        silence_s: float,
        options: CallOptions,
    ) -> httpx2.Response:
        """The response to a request about a file, an upload or a download, its body not yet read."""
        if self._closed:
            raise RuntimeError("this client is closed")
        given = {name for name, _ in headers} | {b"content-type", b"accept"}
        common = [pair for pair in self._headers(options) if pair[0] not in given]
        request = httpx2.Request(
            method,
            httpx2.URL(self.url + path),
            headers=[*common, *headers],
            stream=stream,
            extensions={"timeout": {"connect": silence_s, "pool": silence_s, "read": silence_s, "write": silence_s}},
        )
        return await self._transport.handle_async_request(request)

    async def _repeat(
        self,
        operation: Operation[..., Any],
        told: str | None,
        options: CallOptions,
        attempt: Callable[[], Coroutine[Any, Any, Any]],
        deadline_ns: int,
        safe: bool,
    ) -> Any:
        policy = policy_of(self.settings.retry, options)
        hedge = self.settings.hedge if operation.access == "read" and safe else None
        tuned = self._attuning.tuned(operation, told) if told is not None and safe and hedge is None else None

        async def attempt_hedged() -> Any:
            if tuned is not None:
                return await self._attuning.hedged(attempt, operation, tuned)
            if hedge is None:
                return await attempt()
            return await hedged(attempt, hedge, self._hedges, self.environment)

        def allowed(error: SoundstageError) -> bool:
            return error.retryable and (safe or error.outcome == "not_applied" or isinstance(error, Exhausted))

        return await retrying(attempt_hedged, policy, self._retries, self.environment, deadline_ns, allowed)

    def _headers(self, options: CallOptions) -> list[tuple[bytes, bytes]]:
        name = options.request_id
        sent = request_id(self.environment).encode() if name is None else header_value("request_id", name)
        headers = [*self._head, (b"x-request-id", sent)]
        if options.idempotency_key is not None:
            headers.append((b"idempotency-key", header_value("idempotency_key", options.idempotency_key)))
        parent = trace_parent()
        if parent is not None:
            headers.append((b"traceparent", parent))
        return headers

    def _deadline_ns(self, seconds: float) -> int:
        return self.environment.monotonic_ns() + round(seconds * 1e9)

    def _remaining_s(self, deadline_ns: int) -> float:
        left_s = (deadline_ns - self.environment.monotonic_ns()) / 1e9
        if left_s <= 0:
            raise DeadlineExceeded(
                "the deadline passed before the call was sent", hint="allow more time", outcome="not_applied"
            )
        return left_s

    async def _send(
        self,
        operation: Operation[..., Any],
        body: bytes,
        headers: list[tuple[bytes, bytes]],
        deadline_ns: int,
        safe: bool,
        told: str | None,
    ) -> Any:
        """The reply to one request; the version of its signals is that of the namespace `told`, if there is one."""
        left_s = self._remaining_s(deadline_ns)
        request = httpx2.Request(
            "POST",
            self._url_of(operation.path),
            headers=[
                *headers,
                (b"content-length", b"%d" % len(body)),
                (b"soundstage-timeout", b"%dms" % max(1, round(left_s * 1_000))),
            ],
            stream=httpx2.ByteStream(body),
            extensions={"timeout": {"connect": left_s, "pool": left_s}},
        )
        try:
            # The time-outs of the transport are per read: a reply that trickles would never be late.
            async with asyncio.timeout(left_s + _ANSWER_MARGIN_S):
                # An httpx2 client would add redirects, cookies and a third to the time that a call takes.
                response = await self._transport.handle_async_request(request)
                try:
                    reply = await self._wire.reply(operation, response)
                finally:
                    await response.aclose()
        except TimeoutError:
            raise late(operation, safe) from None
        except (httpx2.HTTPError, OSError) as error:
            # A refusal of TLS that arrives after the handshake comes as the socket's own error.
            raise network_error(error, self.url, operation, safe) from error
        if told is not None:
            self._attuning.heard(told, response.headers.get(SIGNALS_HEADER, ""))
        return reply

    def _url_of(self, path: str) -> httpx2.URL:
        url = self._urls.get(path)
        if url is None:
            url = self._urls[path] = httpx2.URL(self.url + path)
        return url


def connect(
    url: str,
    *,
    token: str | None = None,
    settings: Settings | None = None,
    environment: Environment | None = None,
    transport: httpx2.AsyncBaseTransport | None = None,
) -> Connection:
    """A connection to the stage at `url`; no byte is sent until the first call.

    `token` overrides the one of `settings`. `transport` replaces the sockets, as tests do to reach an
    application without any.
    """
    chosen = settings or Settings()
    if token is not None:
        chosen = msgspec.structs.replace(chosen, token=token)
    address = check_url(url)
    sockets = transport or Pool(opener(address, chosen), chosen.max_connections)
    return Connection(address, chosen, environment or SystemEnvironment(), sockets)


def opener(address: str, settings: Settings) -> Callable[[], httpx2.AsyncBaseTransport]:
    """What makes transports of one connection to `address`, all with the same TLS context."""
    trust = settings.trust() if address.startswith("https:") else False

    def open() -> httpx2.AsyncBaseTransport:
        return httpx2.AsyncHTTPTransport(verify=trust, trust_env=False, limits=_ONE)

    return open


def _closed() -> Unavailable:
    return Unavailable("this client is closed", hint="connect anew", outcome="not_applied", retryable=False)
