"""The driver's client, and how requests go through it: bounded in time and number, sent again while that may help."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from io import BytesIO
from typing import Any, NamedTuple

from soundstage.core.environment import Environment
from soundstage.core.errors import Exhausted, Outcome, Unavailable
from soundstage.core.time import NS_PER_S
from soundstage.engines.blobs import refusals
from soundstage.engines.blobs.s3 import driver
from soundstage.engines.blobs.s3.failures import Changed, Missing, OutOfRange, failure
from soundstage.engines.blobs.s3.options import Address
from soundstage.engines.secret import secret_from

PAUSE_S, PAUSE_MAX_S = 0.05, 1.0
"""Between two attempts: about so long at first, twice as long each time."""

ATTEMPTS_MAX = 32

KEEP_ALIVE_S = 12.0
"""Servers close connections that are idle for longer, often just when they are used again."""


class Unsure(Exception):
    """The server says how things stand, to a request that an earlier attempt may have fulfilled; stays inside."""


class _Request(NamedTuple):
    operation: str
    parameters: Mapping[str, Any]
    body: bytes | None
    whole: bool


class Link:
    """One client of one bucket, open between `start` and `stop`."""

    def __init__(self, address: Address, environment: Environment) -> None:
        self.bucket: str = address.bucket
        self._options = address.options
        self._environment = environment
        self._stack = AsyncExitStack()
        self._client: Any = None
        self._asking = 0
        self.trouble: str | None = None
        """Why the last request that was given up failed; None when the server has answered one since."""
        self._patience_s = address.options.patience / NS_PER_S

    async def start(self) -> None:
        """The client is there; nothing was asked of the server. Raises `Unauthenticated`, `Unavailable`."""
        try:
            made = driver.new_session(self._options.profile).create_client("s3", **self._settings())
            self._client = await self._stack.enter_async_context(made)
        except driver.ERRORS as error:
            raise failure(error, self.bucket, reading=True).error from None
        except ValueError as error:
            raise Unavailable(f"no client for {self.bucket!r}: {error}", retryable=False) from None

    async def stop(self) -> None:
        """All connections are closed, and requests under way end. Idempotent."""
        self._client = None
        await self._stack.aclose()

    async def ask(
        self, operation: str, *, reading: bool, body: bytes | None = None, whole: bool = False, **parameters: Any
    ) -> Any:
        """The server's answer to `operation`, the driver's name of it; with its body read when `whole`.

        Raises `Missing`, `Changed` and `OutOfRange`; `Unsure` in place of the first two where an attempt before may
        have done what was asked; else the port's errors, with the outcome of all attempts together.
        """
        if self._asking >= self._options.connections + self._options.waiting:
            raise Exhausted(
                f"{self._asking} calls wait for the server of {self.bucket!r}",
                hint="ask less often, or allow more connections",
                retry_after_ms=200,
                outcome="not_applied",
            )
        self._asking += 1
        try:
            answer = await self._tried(reading, _Request(operation, parameters, body, whole))
        except (Unavailable, Exhausted) as error:
            self.trouble = error.detail
            raise
        except (Missing, Changed, OutOfRange, Unsure):
            self.trouble = None
            raise
        else:
            self.trouble = None
            return answer
        finally:
            self._asking -= 1

    async def _tried(self, reading: bool, request: _Request) -> Any:
        ends = asyncio.get_running_loop().time() + self._patience_s
        outcome: Outcome = "not_applied"
        pause_s = PAUSE_S
        for attempt in range(1, ATTEMPTS_MAX + 1):
            try:
                return await self._attempt(request, ends)
            except driver.ERRORS as error:
                try:
                    failed = failure(error, self.bucket, reading=reading)
                except (Missing, Changed) as stands:
                    if outcome == "unknown":
                        raise Unsure from stands
                    raise
            if failed.error.outcome == "unknown":
                outcome = "unknown"
            pause_s = min(PAUSE_MAX_S, pause_s * 2)
            wait_s = pause_s * self._environment.random.uniform(0.5, 1.0)
            late = attempt == ATTEMPTS_MAX or asyncio.get_running_loop().time() + wait_s > ends
            if late or not failed.again:
                failed.error.outcome = outcome
                raise failed.error from None
            await self._environment.sleep(wait_s)
        raise AssertionError("the last attempt returns or raises")

    async def _attempt(self, request: _Request, ends: float) -> Any:
        client = self._client
        if client is None:
            raise refusals.stopped()
        body = {} if request.body is None else {"Body": BytesIO(request.body)}
        try:
            async with asyncio.timeout_at(ends):
                answer = await getattr(client, request.operation)(Bucket=self.bucket, **request.parameters, **body)
                if request.whole:
                    async with answer["Body"] as stream:
                        answer["Body"] = await stream.read()
                return answer
        except (*driver.ERRORS, RuntimeError):
            # Connections that are closed under a request say many things.
            if self._client is None:
                raise refusals.stopped() from None
            raise

    def _settings(self) -> dict[str, Any]:
        options = self._options
        path_style = options.endpoint is not None if options.path_style is None else options.path_style
        checked = "when_supported" if options.checksums else "when_required"
        given: dict[str, Any] = {
            "config": driver.config.AioConfig(
                connect_timeout=options.attempt / NS_PER_S,
                read_timeout=options.attempt / NS_PER_S,
                max_pool_connections=options.connections,
                retries={"total_max_attempts": 1},
                request_checksum_calculation=checked,
                response_checksum_validation="when_required",
                s3={"addressing_style": "path" if path_style else "virtual", "payload_signing_enabled": False},
                connector_args={"keepalive_timeout": KEEP_ALIVE_S},
            ),
            "endpoint_url": options.endpoint,
            "region_name": options.region,
            # Without TLS the certificates that are trusted are not read, which takes longer than anything else here.
            "verify": False if (options.endpoint or "").startswith("http:") else options.tls_ca,
        }
        if options.access_key is not None:
            given["aws_access_key_id"] = options.access_key
            given["aws_secret_access_key"] = secret_from(options.password_file, options.password_env)
        return given
