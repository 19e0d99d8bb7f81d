"""A connection is as the namespaces it calls want their clients to be, and stays so while they change.

A server tells with a reply which version of its signals holds; a client that knows another asks for them before its
next call of the namespace, as it does when they have been held for long enough, and before it first sends values that
would better be compressed. Calls that are under way meanwhile go by what is known. A question that fails keeps nobody
from calling.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias, TypeVar

import msgspec

from soundstage.core.attunement import LONG_US, REPLY_MAX_BYTES, Attunement, Signals, Understanding
from soundstage.core.environment import Environment
from soundstage.core.errors import SoundstageError
from soundstage.core.operation import Operation
from soundstage.core.policy import Budget, HedgePolicy, hedge_budget, hedged

T = TypeVar("T")

NAMESPACES_MAX = 1_024
"""Those known for longest are forgotten."""

QUESTION_NS = 1_000_000_000
"""A question may take so long, and a quarter of what its call has left."""

FETCH_NS = 5_000_000_000
"""A dictionary may take so long to come; whoever needs it waits, its own deadline apart."""

AGAIN_NS = 1_000_000_000
"""No namespace is asked for more often."""

_MEASURED = 128
_LEAST = 32
_STEP = 16

Ask: TypeAlias = Callable[[Operation[..., Any], Any, int], Coroutine[Any, Any, Any]]
"""Sends a question, to be answered by a time of the monotonic clock."""


class Statistics(msgspec.Struct, frozen=True, kw_only=True):
    """What a connection did of itself: `hedges` of `hedgeable` calls were sent twice, `questions` asked for signals."""

    hedgeable: int
    hedges: int
    questions: int


class Tuned:
    """What is known of one namespace."""

    __slots__ = ("again_ns", "asking", "budget", "due_ns", "latencies", "signals", "told")

    def __init__(self) -> None:
        self.signals: Signals | None = None
        self.told: str = ""
        self.due_ns: int | None = None
        """When to ask next; None: not of itself."""
        self.again_ns: int = 0
        self.asking: bool = False
        self.budget: Budget = hedge_budget()
        self.latencies: dict[str, Latencies] = {}
        """By operation: one that takes a page says nothing of one that takes an item."""

    def took(self, operation: Operation[..., Any], ns: int) -> None:
        """A call of the operation took so long."""
        found = self.latencies.get(operation.name)
        if found is None:
            found = self.latencies[operation.name] = Latencies()
        found.add(ns)

    def late(self, operation: Operation[..., Any]) -> HedgePolicy | None:
        """When a call of the operation is late; None while nobody knows."""
        if self.signals is None:
            return None
        latencies = self.latencies.get(operation.name) if self.signals.hedging.after == "p95" else None
        after_ns = None if latencies is None else latencies.slow_ns()
        if after_ns is None:
            objective = self.signals.slos.get(operation.name)
            if objective is None or objective.target is None:
                return None
            after_ns = int(objective.target)
        return HedgePolicy(after_s=after_ns / 1e9)


class Latencies:
    """How long the last calls took."""

    __slots__ = ("_kept", "_since", "_slow_ns")

    def __init__(self) -> None:
        self._kept: deque[int] = deque(maxlen=_MEASURED)
        self._since = 0
        self._slow_ns: int | None = None

    def add(self, ns: int) -> None:
        self._kept.append(ns)
        self._since += 1

    def slow_ns(self) -> int | None:
        """What 95 of 100 take no longer than; None until enough is known."""
        if len(self._kept) < _LEAST:
            return None
        if self._slow_ns is None or self._since >= _STEP:
            self._since = 0
            ordered = sorted(self._kept)
            self._slow_ns = ordered[len(ordered) * 95 // 100]
        return self._slow_ns


class Attuning:
    """The namespaces that one connection calls, as far as they have told anything."""

    def __init__(self, ask: Ask, environment: Environment, limit: int = REPLY_MAX_BYTES) -> None:
        self._ask = ask
        self.understanding: Understanding = Understanding(self._fetch, limit, aside=True)
        self._environment = environment
        self._tuned: dict[str, Tuned] = {}
        self._forgotten = (0, 0)
        self._questions = 0

    def statistics(self) -> Statistics:
        """What was done so far."""
        budgets = [tuned.budget for tuned in self._tuned.values()]
        calls, taken = self._forgotten
        return Statistics(
            hedgeable=calls + sum(budget.calls for budget in budgets),
            hedges=taken + sum(budget.taken for budget in budgets),
            questions=self._questions,
        )

    async def outgoing(
        self, attunement: Attunement, operation: Operation[..., Any], request: Any, deadline_ns: int
    ) -> Any:
        """The request to send, as its namespaces want it."""
        urgent: bool | None = None
        for namespace in attunement.namespaces(operation, request):
            tuned = self._tuned.get(namespace)
            if tuned is None:
                urgent = attunement.urges(operation, request) if urgent is None else urgent
                if not urgent:
                    continue
                tuned = self._keep(namespace)
                tuned.due_ns = 0
            if self._is_due(tuned):
                await self._question(attunement, namespace, tuned, deadline_ns)
        if not self._tuned:
            return request
        dictionaries = self.understanding.dictionaries
        if attunement.outgoing_us(operation, request, self._known) < LONG_US:
            return attunement.outgoing(operation, request, self._known, dictionaries)
        return await asyncio.to_thread(attunement.outgoing, operation, request, self._known, dictionaries)

    def doubt(self, attunement: Attunement, operation: Operation[..., Any], request: Any) -> None:
        """What is known of the namespaces of the request holds no more: it is asked for anew."""
        for namespace in attunement.namespaces(operation, request):
            tuned = self._tuned.get(namespace)
            if tuned is not None:
                tuned.signals, tuned.due_ns = None, 0

    def heard(self, namespace: str, version: str) -> None:
        """A reply told the version of the signals, or none by an empty one."""
        tuned = self._tuned.get(namespace)
        if tuned is None:
            if not version:
                return
            tuned = self._keep(namespace)
        if version == tuned.told:
            return
        tuned.told = version
        if tuned.signals is None or version != tuned.signals.version:
            tuned.due_ns = 0

    def tuned(self, operation: Operation[..., Any], namespace: str) -> Tuned | None:
        """What is known of the namespace of a call that is to be sent twice when it is late; None where it never is."""
        tuned = self._tuned.get(namespace)
        if tuned is None or tuned.signals is None:
            return None
        hedging = tuned.signals.hedging
        wanted = hedging.after != "never" and (operation.access == "read" or hedging.writes)
        return tuned if wanted else None

    async def hedged(
        self, attempt: Callable[[], Coroutine[Any, Any, T]], operation: Operation[..., Any], tuned: Tuned
    ) -> T:
        """What the first `attempt` to succeed returns; a second starts when the first is late, as budgets allow."""
        policy, began_ns = tuned.late(operation), self._environment.monotonic_ns()
        if policy is None:
            reply = await attempt()
        else:
            reply = await hedged(attempt, policy, tuned.budget, self._environment)
        tuned.took(operation, self._environment.monotonic_ns() - began_ns)
        return reply

    def _known(self, namespace: str) -> Signals | None:
        tuned = self._tuned.get(namespace)
        return None if tuned is None else tuned.signals

    def _keep(self, namespace: str) -> Tuned:
        if len(self._tuned) >= NAMESPACES_MAX:
            budget = self._tuned.pop(next(iter(self._tuned))).budget
            self._forgotten = (self._forgotten[0] + budget.calls, self._forgotten[1] + budget.taken)
        tuned = self._tuned[namespace] = Tuned()
        return tuned

    def _is_due(self, tuned: Tuned) -> bool:
        if tuned.due_ns is None or tuned.asking:
            return False
        now_ns = self._environment.monotonic_ns()
        return now_ns >= tuned.due_ns and now_ns >= tuned.again_ns

    async def _question(self, attunement: Attunement, namespace: str, tuned: Tuned, deadline_ns: int) -> None:
        now_ns = self._environment.monotonic_ns()
        tuned.asking, tuned.again_ns = True, now_ns + self._jittered(AGAIN_NS)
        # A version that is told while the question is under way is asked for again.
        tuned.due_ns = None
        self._questions += 1
        until_ns = now_ns + max(1, min(QUESTION_NS, (deadline_ns - now_ns) // 4))

        async def asked(operation: Operation[..., Any], request: Any) -> Any:
            return await self._ask(operation, request, until_ns)

        try:
            self._learn(tuned, attunement.signals(await asked(*attunement.question(namespace))))
            assert tuned.signals is not None
            dictionary = attunement.wants(tuned.signals)
            if dictionary is not None and not await self.understanding.prepared(
                attunement, namespace, dictionary, asked
            ):
                tuned.due_ns = 0
        except SoundstageError:
            tuned.due_ns = 0
        except BaseException:
            tuned.due_ns = 0
            raise
        finally:
            tuned.asking = False

    async def _fetch(self, operation: Operation[..., Any], request: Any) -> Any:
        return await self._ask(operation, request, self._environment.monotonic_ns() + FETCH_NS)

    def _learn(self, tuned: Tuned, signals: Signals) -> None:
        tuned.signals = signals
        tuned.budget.share = hedge_budget(signals.hedging.share).share
        if tuned.due_ns is None:
            tuned.due_ns = self._environment.monotonic_ns() + self._jittered(int(signals.hold))

    def _jittered(self, ns: int) -> int:
        return round(ns * self._environment.random.uniform(0.8, 1.2))
