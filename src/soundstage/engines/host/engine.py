"""An engine that another process has, with the calls of its port."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path
from typing import Any

from soundstage import __version__
from soundstage.core.environment import Environment
from soundstage.core.errors import InvalidArgument, SoundstageError, Unavailable
from soundstage.engines.host import place, refusals
from soundstage.engines.host.contract import Method, contract, encode
from soundstage.engines.host.frames import PROTOCOL, Hello
from soundstage.engines.host.link import Link

CLOCK_MARGIN_NS = 1_000_000_000

BACKOFF_MIN_S = 0.05
BACKOFF_MAX_S = 2.0


class HostEngine:
    """The engine `name` of the process that listens at the socket `path`, by the calls of `port`.

    Besides `start` and `stop` it has the port's calls, once started those of the capabilities too that the engine
    announces, and its attributes; its `capabilities` say besides that it is another process's, and leave out those of
    `without`. A connection that is lost is made again, ever more slowly; until then calls are `Unavailable`, and those
    that were under way with the outcome `unknown`.
    """

    def __init__(
        self, path: Path, port: str, name: str, environment: Environment, without: Collection[str] = ()
    ) -> None:
        self._path = path
        self._contract = contract(port)
        self._name = name
        self._environment = environment
        self._without = without
        self._link: Link | None = None
        self._reason = "it was not started"
        self._stopped = True
        self._returning: asyncio.Task[None] | None = None
        self._announced: dict[str, Any] = {}
        self.capabilities: frozenset[str] = self._contract.here
        self._offer(self._contract.methods)

    async def start(self) -> None:
        """Connected, and known for what it is. Raises `Unavailable`; `InvalidArgument` for another release."""
        self._stopped = False
        try:
            self._adopt(await self._connect())
        except BaseException:
            self._stopped = True
            raise

    async def begin(self) -> None:
        """The same, but a process that is not there yet is waited for beside. Raises what `start` does, else."""
        try:
            await self.start()
        except Unavailable as error:
            self._stopped, self._reason = False, error.detail
            self._returning = asyncio.ensure_future(self._return())

    async def stop(self) -> None:
        """Not connected any more; the engine goes on where it is. Idempotent."""
        self._stopped = True
        if self._returning is not None:
            self._returning.cancel()
            with suppress(asyncio.CancelledError):
                await self._returning
            self._returning = None
        if self._link is not None:
            link, self._link = self._link, None
            link.close()

    @property
    def lost(self) -> str | None:
        """Why the engine cannot be reached, None while it can."""
        return None if self._link is not None or self._stopped else self._reason

    def _adopt(self, announced: dict[str, Any]) -> None:
        """The engine is what it announced."""
        self._announced = announced
        for name, value in announced.items():
            setattr(self, name, value)
        self.capabilities = (self._contract.here | announced["capabilities"]).difference(self._without)
        for capability, methods in self._contract.extras.items():
            if capability in self.capabilities:
                self._offer(methods)

    def _offer(self, methods: list[Method]) -> None:
        calls = {"call": self._call, "upload": self._upload, "download": self._download}
        for method in methods:
            setattr(self, method.name, calls[method.shape](method))

    def _call(self, method: Method) -> Callable[..., Any]:
        number, arguments, decode = method.number, method.arguments, method.decode_result

        async def call(*given: Any, **named: Any) -> Any:
            link = self._link or self._absent()
            try:
                body = encode(arguments(*given, **named))
            except (UnicodeEncodeError, OverflowError) as error:
                raise InvalidArgument(f"what was given cannot be sent: {error}") from None
            return decode(await link.call(number, body))

        return call

    def _upload(self, method: Method) -> Callable[..., Any]:
        async def upload(*given: Any, **named: Any) -> Any:
            bound = method.signature.bind(self, *given, **named).arguments
            bound.pop("self")
            chunks = bound.pop(method.stream or "")
            link = self._link or self._absent()
            return method.decode_result(await link.upload(method.number, encode(method.arguments(**bound)), chunks))

        return upload

    def _download(self, method: Method) -> Callable[..., Any]:
        async def download(*given: Any, **named: Any) -> Any:
            link = self._link or self._absent()
            async for chunk in link.download(method.number, encode(method.arguments(*given, **named))):
                yield chunk

        return download

    def _absent(self) -> Link:
        raise refusals.stopped() if self._stopped else refusals.absent(self._name, self._reason)

    async def _connect(self) -> dict[str, Any]:
        """The attributes of the engine, to which there is a connection now."""
        try:
            connection = place.connected(self._path)
        except OSError as error:
            raise refusals.absent(self._name, f"{self._path}: {error.strerror}") from None
        loop = asyncio.get_running_loop()
        link = Link(self._name, self._was_lost)
        await loop.create_unix_connection(lambda: link, sock=connection)
        asked_ns = self._environment.monotonic_ns()
        hello = Hello(
            protocol=PROTOCOL,
            release=__version__,
            fingerprint=self._contract.fingerprint,
            port=self._contract.port,
            engine=self._name,
            now_ns=asked_ns,
        )
        try:
            welcome = await link.greet(hello)
            if not asked_ns - CLOCK_MARGIN_NS <= welcome.now_ns <= self._environment.monotonic_ns() + CLOCK_MARGIN_NS:
                raise refusals.other_clock()
        except BaseException:
            link.close()
            raise
        self._link = link
        return self._contract.announced(welcome.attributes)

    def _was_lost(self) -> None:
        if self._link is None or self._stopped:
            return
        self._link = None
        self._reason = "the connection was lost"
        self._returning = asyncio.ensure_future(self._return())

    async def _return(self) -> None:
        """Connected again."""
        pause_s = BACKOFF_MIN_S
        while True:
            try:
                announced = await self._connect()
            except SoundstageError as error:
                self._reason = str(error)
            else:
                if not self._announced:
                    self._adopt(announced)
                if announced == self._announced:
                    return
                self._leave("it announces other capabilities than it did")
            await self._environment.sleep(pause_s * self._environment.random.uniform(0.5, 1.0))
            pause_s = min(BACKOFF_MAX_S, pause_s * 2)

    def _leave(self, reason: str) -> None:
        link, self._link = self._link, None
        self._reason = reason
        if link is not None:
            link.close()
