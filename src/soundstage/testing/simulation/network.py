"""What lies between the clients of a run and its host, and the clients themselves.

A request may be lost, held up, or delivered twice, and so may its answer. Clients do what remote ones do: they give
every write a token before it is first sent, wait so long and no longer, repeat and hedge what is safe to repeat, and
keep their clocks past what they have read.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from typing import Any, NamedTuple

import msgspec

from soundstage.core.call import Call, CallOptions
from soundstage.core.errors import DeadlineExceeded, Exhausted, Internal, SoundstageError, Unavailable
from soundstage.core.hlc import DRIFT_FUTURE_US, TokenClock
from soundstage.core.observation import observer
from soundstage.core.operation import Operation
from soundstage.core.policy import (
    HEDGE_SHARE_MAX,
    Budget,
    HedgePolicy,
    RetryPolicy,
    hedged,
    repeatable,
    retry_budget,
    retrying,
    with_token,
)
from soundstage.core.streaming import Body, UploadOperation
from soundstage.testing.simulation.environment import SimulatedEnvironment
from soundstage.testing.simulation.host import Host
from soundstage.testing.simulation.turn import present, strikes

TIMEOUT_S = 2.0
ANSWER_MARGIN_S = 0.25
IDLE_S = 0.5
PARTS = 3
"""Of what an upload sends."""

HEDGE = HedgePolicy(after_s=0.05)
RETRY = RetryPolicy(retries=3)


class NetworkRates(msgspec.Struct, frozen=True, kw_only=True):
    """How often each thing happens to a request. Requests and answers that are held up arrive within `held_up_s`."""

    request_lost: float = 0.0
    answer_lost: float = 0.0
    held_up: float = 0.0
    twice: float = 0.0
    hedged: float = 0.0
    held_up_s: float = 0.5


QUIET = NetworkRates()


class Passage(msgspec.Struct):
    """What has become of all requests sent under one token.

    `under_way`: so many have not reached their end at the host. `uncertain`: one that has may have had an effect.
    """

    sent: int = 0
    under_way: int = 0
    uncertain: bool = False


class _Parcel(NamedTuple):
    """What travels; `source` is what an upload sends besides."""

    operation: Operation[..., Any]
    request: Any
    options: CallOptions
    passage: Passage
    source: bytes | None = None

    def call(self, now_ns: int, body: Body | None) -> Call:
        """What goes with a request that arrives now."""
        deadline_s = self.options.deadline
        deadline_ns = None if deadline_s is None else now_ns + round(deadline_s * 1e9)
        return Call(deadline_ns=deadline_ns, idempotency_key=self.options.idempotency_key, body=body)


class Network:
    """Carries requests to one host, each way in up to `latency_s` in any weather.

    `counts` tells how often each fault struck, `under_way` how many requests are yet to end.
    """

    def __init__(self, host: Host, latency_s: float) -> None:
        self.rates: NetworkRates = QUIET
        self.latency_s = latency_s
        self.counts: Counter[str] = Counter()
        self.under_way: int = 0
        self._host = host
        self._passages: dict[str, Passage] = {}

    async def idle(self) -> None:
        """Every request has come to its end, whether or not its sender still waits."""
        while self.under_way:
            await self._host.environment.sleep(IDLE_S)

    def passage(self, token: str) -> Passage:
        """Of the requests under `token`: the text of an idempotency token, an idempotency key or a request id."""
        return self._passages.setdefault(token, Passage())

    async def carry(
        self, operation: Operation[..., Any], request: Any, options: CallOptions, source: bytes | None = None
    ) -> Any:
        """The answer to a request; what happens to it, happens by the dice of the step.

        With a deadline among the `options` the host is told, and ends the call by itself.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Any] = loop.create_future()
        parcel = _Parcel(operation, request, options, self._passage_of(request, options), source)
        self._deliver(parcel, answer, delayed=False)
        if options.retries != 0 and self._strikes("twice"):
            self._deliver(parcel, None, delayed=True)
        # A host that knows the deadline is given time to tell what became of the call.
        wait_s = TIMEOUT_S if options.deadline is None else options.deadline + ANSWER_MARGIN_S
        late = loop.call_later(wait_s, _give_up, answer, operation)
        try:
            return await answer
        finally:
            late.cancel()

    def _deliver(self, parcel: _Parcel, answer: asyncio.Future[Any] | None, *, delayed: bool) -> None:
        parcel.passage.sent += 1
        parcel.passage.under_way += 1
        self.under_way += 1
        asyncio.get_running_loop().create_task(self._journey(parcel, answer, delayed=delayed))

    async def _journey(self, parcel: _Parcel, answer: asyncio.Future[Any] | None, *, delayed: bool) -> None:
        passage = parcel.passage
        reply, error = None, None
        try:
            await self._travel(delayed=delayed)
            if self._strikes("request_lost"):
                return
            try:
                body = None if parcel.source is None else Body(self._stream(parcel.source), len(parcel.source))
                call = parcel.call(self._host.environment.monotonic_ns(), body)
                reply = await self._host.call(parcel.operation, parcel.request, call)
                passage.uncertain = True
            except SoundstageError as refusal:
                error = refusal
                passage.uncertain |= _may_have_worked(refusal)
            except asyncio.CancelledError:
                error = Unavailable("the connection was lost", outcome="unknown")
                passage.uncertain = True
        finally:
            passage.under_way -= 1
            self.under_way -= 1
        await self._travel(delayed=False)
        if answer is not None and not self._strikes("answer_lost"):
            _settle(answer, reply, error)

    async def _stream(self, source: bytes) -> AsyncGenerator[bytes]:
        """What an upload sends, in parts that come one by one, and of which the last may not come."""
        part = len(source) // PARTS + 1
        for at in range(0, len(source), part):
            if at:
                await self._travel(delayed=False)
                if self._strikes("request_lost"):
                    raise Unavailable("the sender was lost", outcome="not_applied")
            yield source[at : at + part]

    async def _travel(self, *, delayed: bool) -> None:
        """One way between a client and the host."""
        turn = present()
        if turn is None or turn.direct:
            return
        travel_s = turn.dice.uniform(0.0, self.latency_s) if self.latency_s else 0.0
        if delayed or self._strikes("held_up"):
            travel_s += turn.dice.uniform(0.0, self.rates.held_up_s)
        if travel_s:
            await self._host.environment.sleep(travel_s)

    def _passage_of(self, request: Any, options: CallOptions) -> Passage:
        token = getattr(request, "idempotency_token", None)
        key = options.idempotency_key or options.request_id if token is None else token.token
        return Passage() if key is None else self.passage(key)

    def _strikes(self, fault: str) -> bool:
        if not strikes(getattr(self.rates, fault)):
            return False
        self.counts[fault] += 1
        return True


class Client:
    """An `Invoker` on a machine of its own, with its own clock; `heard` is told of every answer.

    A call with the option `retries=0` is sent once and arrives once, if it does.

    `seen_us` is the greatest time of a token in any reply, of those that were not too far ahead to be believed.
    """

    def __init__(
        self,
        network: Network,
        environment: SimulatedEnvironment,
        heard: Callable[[Operation[..., Any], Any], None],
    ) -> None:
        self.network = network
        self.environment = environment
        self.clock: TokenClock = TokenClock(environment)
        self.seen_us: int = 0
        self._heard = heard
        self._retries = retry_budget()
        self._hedges = Budget(HEDGE_SHARE_MAX)

    def restart(self, skew_s: float) -> None:
        """The machine was started anew, with its wall clock so far off; what it has seen is forgotten."""
        self.environment.skew_s = skew_s
        self.clock = TokenClock(self.environment)
        self.seen_us = 0

    async def invoke(self, operation: Operation[..., Any], request: Any, options: CallOptions) -> Any:
        """The reply, after as many tries as a remote client makes."""
        return await self._ask(operation, request, options)

    async def upload(
        self, operation: UploadOperation[..., Any], request: Any, source: bytes, options: CallOptions
    ) -> Any:
        """The same, for what sends bytes beside its request."""
        return await self._ask(operation, request, options, source)

    async def _ask(
        self, operation: Operation[..., Any], request: Any, options: CallOptions, source: bytes | None = None
    ) -> Any:
        request = with_token(operation, request, self.clock)
        safe = repeatable(operation, request, options)
        network = self.network

        async def attempt() -> Any:
            return await network.carry(operation, request, options, source)

        async def attempt_hedged() -> Any:
            if not safe or options.retries == 0 or not strikes(network.rates.hedged):
                return await attempt()
            network.counts["hedged"] += 1
            return await hedged(attempt, HEDGE, self._hedges, self.environment)

        def allowed(error: SoundstageError) -> bool:
            return error.retryable and (safe or error.outcome == "not_applied" or isinstance(error, Exhausted))

        policy = RETRY if options.retries is None else msgspec.structs.replace(RETRY, retries=options.retries)
        try:
            reply = await retrying(attempt_hedged, policy, self._retries, self.environment, None, allowed)
        except SoundstageError as error:
            self._heard(operation, error)
            raise
        self._heard(operation, reply)
        watch = observer(operation.reply)
        if watch is not None:
            time_us = watch(reply)
            if time_us <= self.environment.now_us() + DRIFT_FUTURE_US:
                self.seen_us = max(self.seen_us, time_us)
            self.clock.observe(time_us)
        return reply


def _give_up(answer: asyncio.Future[Any], operation: Operation[..., Any]) -> None:
    outcome = "not_applied" if operation.access == "read" else "unknown"
    _settle(answer, None, DeadlineExceeded("no answer in time", outcome=outcome, retryable=True))


def _may_have_worked(error: SoundstageError) -> bool:
    return isinstance(error, Unavailable | DeadlineExceeded | Internal) and error.outcome != "not_applied"


def _settle(answer: asyncio.Future[Any], reply: Any, error: SoundstageError | None) -> None:
    if answer.done():
        return
    if error is None:
        answer.set_result(reply)
    else:
        answer.set_exception(error)
