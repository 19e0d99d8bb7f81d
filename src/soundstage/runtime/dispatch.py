"""The way of a call from its door to its handler: authorise, quota, deadline, handler.

Surfaces bring a `Call` (id, trace and principal are theirs to establish) and take the whole way, `run`.
A call in process with default options takes `run_local`: the owner needs no authorisation and nothing
times out, so that it costs a few counters.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from functools import partial
from types import CoroutineType
from typing import Any, TypeAlias, get_type_hints

import msgspec

from soundstage.core.attunement import attunement_of
from soundstage.core.call import LOCAL, Call
from soundstage.core.environment import Environment
from soundstage.core.errors import DeadlineExceeded, Internal, InvalidArgument, SoundstageError
from soundstage.core.given import as_read
from soundstage.core.ids import request_id
from soundstage.core.misfit import misfit
from soundstage.core.operation import Operation
from soundstage.runtime.access import authorise
from soundstage.runtime.admission import Admission, Gate
from soundstage.runtime.deadlines import Deadlines
from soundstage.runtime.repetition import Repetitions
from soundstage.runtime.service import Scoped, Signalling
from soundstage.runtime.statistics import CallStatistics
from soundstage.runtime.systems import Systems
from soundstage.runtime.traces import Tracer

log: logging.Logger = logging.getLogger("soundstage.runtime")

Handler: TypeAlias = Callable[[Call, Any], Awaitable[Any]]

LOCAL_CALL = Call()
"""Shared by all calls in process that carry no options."""

_COROUTINE: type = CoroutineType

_SAMPLED = CallStatistics.SAMPLED


class Interceptors(msgspec.Struct, frozen=True, kw_only=True):
    """What the operations of a stage pass through."""

    environment: Environment
    systems: Systems
    admission: Admission
    deadlines: Deadlines
    repetitions: Repetitions
    tracer: Tracer | None = None
    log_calls: bool = False
    look: Callable[[], Awaitable[None]] | None = None
    """How namespaces are found that other processes made; None where there are none."""


class BoundOperation:
    """One operation of one stage. `handler` is the service's coroutine method, opened by the first call.

    `signals` gives the version of what a namespace tells its clients, where that goes with replies.

    `run_local` is the short way of calls in process without options: it takes the request alone.
    """

    __slots__ = (
        "_admission",
        "_gates",
        "_keyed",
        "_looks",
        "_namespaced",
        "_now_ns",
        "_on",
        "_writes",
        "handler",
        "operation",
        "run_local",
        "signals",
        "stats",
    )

    def __init__(self, operation: Operation[..., Any], interceptors: Interceptors) -> None:
        self.operation: Operation[..., Any] = operation
        self.stats: CallStatistics = CallStatistics()
        self.handler: Handler = self._open
        self.signals: Callable[[str], str] | None = None
        self._on = interceptors
        self._admission = interceptors.admission
        self._gates = interceptors.admission.gates
        self._writes = operation.access != "read"
        self._keyed = self._writes
        self._namespaced = _names_a_namespace(operation)
        self._now_ns = interceptors.environment.monotonic_ns
        self._looks = interceptors.look is not None
        short = self._namespaced and interceptors.tracer is None
        self.run_local: Callable[[Any], Coroutine[Any, Any, Any]] = self._local if short else self._run_owner

    async def run(self, call: Call, request: Any) -> Any:
        """The reply to `request`; whatever fails, fails with an error of the `SoundstageError` tree."""
        self.stats.calls += 1
        began_ns = self._now_ns()
        outcome = "ok"
        try:
            if self._on.tracer is None:
                if call.principal is LOCAL and (call.idempotency_key is None or not self._keyed):
                    # Nothing to authorise or to repeat, and no step between here and there.
                    return await self._admitted(call, request)
                return await self._authorised(call, request)
            with self._on.tracer.span(self.operation, call):
                return await self._authorised(call, request)
        except asyncio.CancelledError:
            outcome = "cancelled"
            self.stats.cancelled += 1
            raise
        except SoundstageError as error:
            outcome = error.code
            self.stats.failed(outcome)
            raise
        finally:
            took_ns = self._now_ns() - began_ns
            self.stats.latency.observe(took_ns)
            if self._on.log_calls:
                self._log(call, took_ns, outcome)

    def refused(self, error: SoundstageError, call: Call) -> None:
        """A call from outside that never ran is counted, traced and logged: its caller or its message was refused."""
        self.stats.calls += 1
        self.stats.failed(error.code)
        if self._on.tracer is not None:
            with suppress(SoundstageError), self._on.tracer.span(self.operation, call):
                raise error
        if self._on.log_calls:
            self._log(call, 0, error.code)

    def _run_owner(self, request: Any) -> Coroutine[Any, Any, Any]:
        return self.run(LOCAL_CALL, request)

    def read(self, request: Any) -> Any:
        """`request` of a caller in process as the handler may take it: of the types and bounds that are declared."""
        if self.operation.checks_types:
            return request
        try:
            return as_read(request)
        except InvalidArgument as error:
            # What is of a wrong type is called by the names that Python has for it.
            told = misfit(request) or error
            self.refused(told, LOCAL_CALL)
            raise told from None

    async def run_read(self, request: Any) -> Any:
        """`run_local` for requests that have to be read first."""
        return await self.run_local(self.read(request))

    async def _authorised(self, call: Call, request: Any) -> Any:
        if call.principal is not LOCAL:
            what = f"{self.operation.system}/{self.operation.name}"
            authorise(call.principal, self.operation.access, await self._named(request), what)
        if call.idempotency_key is None or not self._keyed:
            return await self._admitted(call, request)
        return await self._on.repetitions.once(call, self.operation, request, self._admitted)

    async def _named(self, request: Any) -> Sequence[str]:
        """The namespaces that `request` concerns; none: not any in particular."""
        if self._namespaced:
            return (request.namespace,)
        service = await self._on.systems.started(self.operation.system)
        return service.scopes(self.operation.name, request) if isinstance(service, Scoped) else ()

    async def _admitted(self, call: Call, request: Any) -> Any:
        if self._looks:
            await self._look(request)
        gate = self._enter(request)
        self._admission.in_flight += 1
        gate.in_flight += 1
        try:
            if call.deadline_ns is None:
                return await self.handler(call, request)
            return await self._in_time(self.handler, call, request, call.deadline_ns)
        except SoundstageError:
            raise
        except Exception as error:
            raise misfit(request) or self._internal(error, call) from error
        finally:
            self._admission.in_flight -= 1
            gate.in_flight -= 1

    async def _look(self, request: Any) -> None:
        """A namespace that another process has just made is known here."""
        look = self._on.look
        if look is None:
            return
        names = await self._named(request)
        known = all(name in self._gates for name in names)
        if not known or (not names and self.operation.system == "namespaces"):
            await look()

    async def _in_time(self, work: Handler, call: Call, request: Any, deadline_ns: int) -> Any:
        if self._now_ns() >= deadline_ns:
            raise DeadlineExceeded(
                "the deadline had passed before the call began", hint="allow more time", outcome="not_applied"
            )
        return await self._on.deadlines.keep(work(call, request), deadline_ns, lambda: self._late(request))

    def _late(self, request: Any) -> DeadlineExceeded:
        if not self._writes:
            return DeadlineExceeded(
                "the deadline passed", hint="allow more time", outcome="not_applied", retryable=True
            )
        repeatable = self.operation.idempotent and getattr(request, "idempotency_token", True) is not None
        return DeadlineExceeded(
            "the deadline passed while the call was being worked on; it may or may not have been applied",
            hint="repeat it with the same idempotency token" if repeatable else "read back what it changes",
            outcome="unknown",
            retryable=repeatable,
        )

    def run_shown(self, shown: Callable[[Any, Any], Any]) -> Callable[[Any], Coroutine[Any, Any, Any]]:
        """`run_read` whose replies are what `shown` makes of each and its request, or of which it returns a coroutine.

        It is no step of its own where one would be felt.
        """
        if self.operation.checks_types and self.run_local == self._local:
            return partial(self._local, shown=shown)

        async def run(request: Any) -> Any:
            found = shown(request, await self.run_read(request))
            return await found if type(found) is _COROUTINE else found

        return run

    async def _local(self, request: Any, shown: Callable[[Any, Any], Any] | None = None) -> Any:
        stats, admission = self.stats, self._admission
        stats.calls = calls = stats.calls + 1
        name = request.namespace
        gate = self._gates.get(name) if type(name) is str else None
        if gate is None or gate.rated or gate.in_flight >= gate.limit or admission.in_flight >= admission.limit:
            gate = self._enter_local(request)
        began_ns = -1 if calls % _SAMPLED else self._now_ns()
        admission.in_flight += 1
        gate.in_flight += 1
        try:
            reply = await self.handler(LOCAL_CALL, request)
            if shown is None:
                return reply
            found = shown(request, reply)
        except SoundstageError as error:
            stats.failed(error.code)
            raise
        except Exception as error:
            # A service that checks types itself may have missed one.
            failure = misfit(request) or self._internal(error, LOCAL_CALL)
            stats.failed(failure.code)
            raise failure from error
        finally:
            admission.in_flight -= 1
            gate.in_flight -= 1
            if began_ns >= 0:
                stats.latency.observe(self._now_ns() - began_ns, _SAMPLED)
        # What is asked for to show it is a call of its own, for which there has to be room.
        return await found if type(found) is _COROUTINE else found

    def _enter_local(self, request: Any) -> Gate:
        try:
            return self._enter(request)
        except SoundstageError as error:
            self.stats.failed(error.code)
            raise

    def _enter(self, request: Any) -> Gate:
        """The gate of the request's namespace, with room for one more call; the caller counts it in and out."""
        admission = self._admission
        if admission.in_flight >= admission.limit:
            raise admission.refusal()
        if not self._namespaced:
            return admission.unbounded
        name: object = request.namespace
        if not name or not isinstance(name, str):
            detail = f"namespace is {type(name).__name__}, not text" if name else "namespace is empty"
            raise InvalidArgument(detail, field="namespace", hint="name the namespace of the call")
        # A name without a gate is unknown, which the handler says best.
        gate = self._gates.get(name, admission.unbounded)
        if gate.in_flight >= gate.limit:
            raise admission.gate_refusal(gate)
        rate = gate.writes if self._writes else gate.reads
        if rate is not None:
            admission.take(rate, gate)
        return gate

    async def _open(self, call: Call, request: Any) -> Any:
        service = await self._on.systems.started(self.operation.system)
        self.handler = getattr(service, self.operation.attribute)
        if self._namespaced and isinstance(service, Signalling) and attunement_of(self.operation) is not None:
            self.signals = service.signals
        return await self.handler(call, request)

    def _internal(self, error: Exception, call: Call) -> Internal:
        """What the caller is told of a defect; the log is told all."""
        name = call.request_id or request_id(self._on.environment)
        log.error(
            "an operation failed by a defect",
            exc_info=error,
            extra={"system": self.operation.system, "operation": self.operation.name, "request_id": name},
        )
        failure = Internal(
            f"{self.operation.system}/{self.operation.name} failed by a defect",
            hint=f"the log has the details under the request id {name}",
        )
        failure.request_id = name
        return failure

    def _log(self, call: Call, took_ns: int, code: str) -> None:
        log.info(
            "call",
            extra={
                "system": self.operation.system,
                "operation": self.operation.name,
                "principal": call.principal.name,
                "request_id": call.request_id,
                "took_us": took_ns // 1_000,
                "outcome": code,
            },
        )


def _names_a_namespace(operation: Operation[..., Any]) -> bool:
    """Whether the request's field `namespace` is a name; that of `namespaces/put` is a whole namespace."""
    return operation.namespaced and get_type_hints(operation.request)["namespace"] is str
