"""Feeds on their way from a service to those who follow them, and calls that wait for something to happen.

A follower takes the next message when it has dealt with the last one, so a slow one holds up nobody and keeps
nothing in memory. What ends a feed from outside, a deadline or a stage that stops, is its last word. Whoever waits
is counted as a follower, and takes no place of calls that are worked on.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator
from contextlib import aclosing, contextmanager
from typing import Any

from soundstage.core.call import LOCAL, Call, Principal
from soundstage.core.environment import Environment
from soundstage.core.errors import DeadlineExceeded, Exhausted, InvalidArgument, SoundstageError, Unavailable
from soundstage.core.feed import Position
from soundstage.core.operation import Operation
from soundstage.runtime.access import authorise
from soundstage.runtime.deadlines import Deadlines
from soundstage.runtime.dispatch import BoundOperation, Interceptors

RECOGNISED_S = 1.0
"""How long those who follow a feed go without a look at whether they still may."""


class Follower:
    """One who follows a feed, `principal`; `interrupt` ends it."""

    def __init__(self, principal: Principal = LOCAL) -> None:
        self.principal = principal
        self._task: asyncio.Task[Any] | None = None
        self._error: SoundstageError | None = None

    def interrupt(self, error: SoundstageError) -> None:
        """The follower's next message, or the one it waits for, is `error`."""
        self._error = error
        if self._task is not None:
            self._task.cancel()

    async def next(self, feed: AsyncGenerator[Any], deadlines: Deadlines, deadline_ns: int | None) -> Any:
        """The next message; raises `StopAsyncIteration` at the end, and what `interrupt` or the deadline says."""
        return await self.hear(lambda: anext(feed), deadlines, deadline_ns, _late)

    async def hear(
        self,
        ask: Callable[[], Awaitable[Any]],
        deadlines: Deadlines,
        deadline_ns: int | None,
        late: Callable[[], SoundstageError],
    ) -> Any:
        """What `ask` comes to; raises what `interrupt` says, and what `late` says once the deadline has passed."""
        if self._error is not None:
            raise self._error
        self._task = asyncio.current_task()
        watched = None if deadline_ns is None else deadlines.watch(deadline_ns)
        try:
            return await ask()
        except asyncio.CancelledError:
            if watched is not None and deadlines.was_late(watched):
                raise late() from None
            if self._error is not None and self._task is not None:
                self._task.uncancel()
                raise self._error from None
            raise
        finally:
            self._task = None
            if watched is not None:
                deadlines.release(watched)


class Followers:
    """All who follow feeds of a stage: bounded in number, and ended together when it stops."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._following: set[Follower] = set()
        self._closed: SoundstageError | None = None

    @property
    def count(self) -> int:
        return len(self._following)

    @contextmanager
    def entered(self, principal: Principal = LOCAL) -> Generator[Follower]:
        """One more, `principal`, for the length of the block. Raises `Exhausted`, or `Unavailable` once closed."""
        if self._closed is not None:
            raise self._closed
        if len(self._following) >= self._limit:
            raise Exhausted(
                f"{self._limit} follow feeds of the stage or wait for its jobs, its limit",
                hint="follow and wait for fewer, or raise admission.followers",
                retry_after_ms=1_000,
            )
        follower = Follower(principal)
        self._following.add(follower)
        try:
            yield follower
        finally:
            self._following.discard(follower)

    async def watch(self, check: Callable[[Principal], None], environment: Environment) -> None:
        """Every second the last word of those whom `check` does not let on is what it raises; never returns."""
        while True:
            await environment.sleep(RECOGNISED_S)
            self.look(check)

    def look(self, check: Callable[[Principal], None]) -> None:
        """Those whom `check` does not let on are told what it raises. The owner, and who has no token, may stay."""
        for follower in list(self._following):
            if follower.principal is not LOCAL and follower.principal.id:
                try:
                    check(follower.principal)
                except SoundstageError as error:
                    follower.interrupt(error)

    def close(self, reason: str) -> None:
        """Everyone's last word is that the stage is unavailable, and nobody else is let in."""
        self._closed = Unavailable(
            reason, hint="follow on from the last cursor, here later or at another process", retry_after_ms=1_000
        )
        for follower in list(self._following):
            follower.interrupt(self._closed)


class BoundWait(BoundOperation):
    """One call of one stage that may wait: for its callers there is room beside those whose calls are worked on."""

    __slots__ = ("_followers",)

    def __init__(self, operation: Operation[..., Any], interceptors: Interceptors, followers: Followers) -> None:
        super().__init__(operation, interceptors)
        self._followers = followers

    async def _admitted(self, call: Call, request: Any) -> Any:
        self._enter(request)
        with self._followers.entered(call.principal) as follower:
            try:
                return await follower.hear(
                    lambda: self.handler(call, request),
                    self._on.deadlines,
                    call.deadline_ns,
                    lambda: self._late(request),
                )
            except SoundstageError:
                raise
            except Exception as error:
                raise self._internal(error, call) from error


class BoundFeed(BoundOperation):
    """One feed of one stage; `follow` is its way, in place of `run`."""

    __slots__ = ("_followers", "messages")

    def __init__(self, operation: Operation[..., Any], interceptors: Interceptors, followers: Followers) -> None:
        super().__init__(operation, interceptors)
        self.messages: int = 0
        self._followers = followers
        # The short way of calls would wait for a reply.
        self.run_local: Callable[[Any], Coroutine[Any, Any, Any]] = self._run_owner

    async def run(self, call: Call, request: Any) -> Any:
        """Refused: a feed has no one reply."""
        raise InvalidArgument(f"{self.operation.path} is a feed", hint="follow it")

    async def follow(self, call: Call, request: Any) -> AsyncGenerator[Any]:
        """The messages and `Position`s, taken from the service one by one; what fails is a `SoundstageError`.

        Close it (`aclosing`) when you stop early, so that the service is told at once.
        """
        self.stats.calls += 1
        try:
            async with aclosing(self._messages(call, request)) as messages:
                async for message in messages:
                    self.messages += type(message) is not Position
                    yield message
        except asyncio.CancelledError:
            self.stats.cancelled += 1
            raise
        except SoundstageError as error:
            self.stats.failed(error.code)
            raise
        except Exception as error:
            failure = self._internal(error, call)
            self.stats.failed(failure.code)
            raise failure from error

    async def _messages(self, call: Call, request: Any) -> AsyncGenerator[Any]:
        on = self._on
        if call.principal is not LOCAL:
            what = f"{self.operation.system}/{self.operation.name}"
            authorise(call.principal, self.operation.access, await self._named(request), what)
        if self._looks:
            await self._look(request)
        self._enter(request)
        with self._followers.entered(call.principal) as follower:
            service = await on.systems.started(self.operation.system)
            async with aclosing(getattr(service, self.operation.name)(call, request)) as feed:
                while True:
                    try:
                        message = await follower.next(feed, on.deadlines, call.deadline_ns)
                    except StopAsyncIteration:
                        return
                    yield message


def _late() -> DeadlineExceeded:
    return DeadlineExceeded(
        "the time to follow the feed has passed",
        hint="follow on from the last cursor",
        outcome="not_applied",
        retryable=True,
    )
