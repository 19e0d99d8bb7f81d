"""Requests to the nodes of a cluster, each bounded in time and in the bytes of its answer."""

from __future__ import annotations

import asyncio
import ssl

import httpx2

from soundstage import __version__
from soundstage.core.environment import Environment
from soundstage.core.errors import Exhausted, SoundstageError, TooLarge, Unavailable
from soundstage.core.time import NS_PER_S
from soundstage.engines.search import refusals
from soundstage.engines.search.opensearch import failures
from soundstage.engines.search.opensearch.answers import Answer
from soundstage.engines.search.opensearch.options import OpenSearchAddress, password, tls_context

ANSWER_MAX_BYTES = 64 << 20
PAUSE_MIN_S, PAUSE_MAX_S = 0.05, 1.0
CONNECT_MAX_S = 3.0
LATE_S = 0.1
"""By so much the client is let tell first that it has waited in vain, and for what."""

JSON = {"content-type": "application/json"}
LINES = {"content-type": "application/x-ndjson"}


class AnswerTooLarge(TooLarge):
    """An answer has more bytes than are taken; to be asked for in smaller parts."""

    def __init__(self) -> None:
        super().__init__(
            "the answer has too many bytes", field="fields", hint="ask for fewer fields, documents or buckets"
        )


class Link:
    """Connections to the nodes, made when they are needed. The next node is asked when one takes none or is silent."""

    def __init__(self, address: OpenSearchAddress, environment: Environment) -> None:
        options = address.options
        self._environment = environment
        self._patience_s = options.patience_s
        self._bases = address.bases
        self._turn = 0
        self.lost: str | None = None
        self._closed = False
        self._client = httpx2.AsyncClient(
            auth=None if options.user is None else (options.user, password(options)),
            # Without TLS the certificates that are trusted are not read, which takes longer than all else here.
            verify=tls_context(options) if self._bases[0].startswith("https") else False,
            headers={"user-agent": f"soundstage/{__version__}", "accept-encoding": "identity"},
            limits=httpx2.Limits(max_connections=options.connections, max_keepalive_connections=options.connections),
            trust_env=False,
        )

    async def close(self) -> None:
        """No connection is left; calls still under way end with `Unavailable`."""
        self._closed = True
        await self._client.aclose()

    async def ask(self, method: str, path: str, body: bytes = b"", *, deadline_ns: int | None = None) -> Answer:
        """The answer to what may be asked again: until there is one, or the time is over."""
        end_ns = self._end(deadline_ns)
        pause_s = PAUSE_MIN_S
        while True:
            began_ns = self._environment.monotonic_ns()
            try:
                answer = await self._once(method, path, body, JSON, end_ns, deadline_ns is not None)
                passing = failures.passing(answer.status, answer.body)
                if passing is None:
                    return answer
                error: SoundstageError = passing
            except Unavailable as failed:
                if not failed.retryable:
                    raise
                error = failed
            pause_s = await self._paused(pause_s, began_ns, end_ns, error)

    async def change(
        self, method: str, path: str, body: bytes, *, lines: bool = False, deadline_ns: int | None = None
    ) -> Answer:
        """The answer to what is sent again only while it surely was not made."""
        end_ns = self._end(deadline_ns)
        pause_s = PAUSE_MIN_S
        while True:
            began_ns = self._environment.monotonic_ns()
            try:
                headers = LINES if lines else JSON
                answer = await self._once(method, path, body, headers, end_ns, deadline_ns is not None)
                if answer.status != 429 or failures.is_full(cause := failures.cause_of(answer.body)):
                    return answer
                error: SoundstageError = failures.meaning(answer.status, cause)
            except (Unavailable, Exhausted) as failed:
                if failed.outcome != "not_applied" or not failed.retryable:
                    raise
                error = failed
            pause_s = await self._paused(pause_s, began_ns, end_ns, error)

    def _end(self, deadline_ns: int | None) -> int:
        now_ns = self._environment.monotonic_ns()
        if deadline_ns is None:
            return now_ns + round(self._patience_s * NS_PER_S)
        if now_ns >= deadline_ns:
            raise refusals.deadline_passed()
        return deadline_ns

    async def _paused(self, pause_s: float, began_ns: int, end_ns: int, error: SoundstageError) -> float:
        """The pause after this one; raises `error` when there is no time for another attempt."""
        if self._closed:
            raise refusals.stopped()
        pause_s *= self._environment.random.uniform(0.5, 1.0)
        now_ns = self._environment.monotonic_ns()
        # The next attempt may well take as long as this one: cut off, it would only hide what this one was told.
        if now_ns + pause_s * NS_PER_S + (now_ns - began_ns) >= end_ns:
            raise error
        await self._environment.sleep(pause_s)
        return min(PAUSE_MAX_S, pause_s * 2)

    async def _once(
        self, method: str, path: str, body: bytes, headers: dict[str, str], end_ns: int, told: bool
    ) -> Answer:
        """One attempt, at each node in turn until one takes the connection."""
        reason = ""
        for _ in self._bases:
            turn = self._turn
            base = self._bases[turn % len(self._bases)]
            try:
                answer = await self._sent(method, base + path, body, headers, end_ns)
            except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
                if (why := _distrust(error)) is not None:
                    raise failures.untrusted(f"{base}: {why}") from None
                reason = f"{base}: {str(error) or 'it does not answer'}"
                self._next_after(turn)
                continue
            except httpx2.PoolTimeout:
                raise failures.crowded() from None
            except (httpx2.TimeoutException, TimeoutError):
                self._next_after(turn)
                raise (failures.late if told else failures.silent)("unknown") from None
            except (httpx2.InvalidURL, httpx2.UnsupportedProtocol, httpx2.CookieConflict) as error:
                raise failures.defect(error) from error
            except (httpx2.HTTPError, httpx2.StreamError) as error:
                raise failures.broken(str(error) or type(error).__name__, "unknown") from None
            except RuntimeError:
                if not self._closed:
                    raise
                raise refusals.stopped() from None
            self.lost = None
            return answer
        self.lost = f"no node of OpenSearch can be reached: {reason}"
        raise failures.refused(reason)

    def _next_after(self, turn: int) -> None:
        """Another node is asked than in this turn, once for all the calls that found it so."""
        if self._turn == turn:
            self._turn += 1

    async def _sent(self, method: str, url: str, body: bytes, headers: dict[str, str], end_ns: int) -> Answer:
        left_s = max(0.001, (end_ns - self._environment.monotonic_ns()) / NS_PER_S)
        timeout = httpx2.Timeout(left_s, connect=min(left_s, CONNECT_MAX_S))
        # The client's own times begin anew with each piece that is sent or comes.
        async with (
            asyncio.timeout_at(asyncio.get_running_loop().time() + left_s + LATE_S),
            self._client.stream(method, url, content=body, headers=headers, timeout=timeout) as answer,
        ):
            parts: list[bytes] = []
            size = 0
            async for part in answer.aiter_raw():
                size += len(part)
                if size > ANSWER_MAX_BYTES:
                    raise AnswerTooLarge
                parts.append(part)
            return Answer(answer.status_code, b"".join(parts))


def _distrust(error: BaseException) -> str | None:
    """What TLS said against the connection, if that was why there is none."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return getattr(cause, "verify_message", None) or getattr(cause, "reason", None) or str(cause)
        cause = cause.__cause__ or cause.__context__
    return None
