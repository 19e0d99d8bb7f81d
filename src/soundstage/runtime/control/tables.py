"""The tables of namespaces: made and dropped here and nowhere else, and given their settings in safe order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, TypeAlias

import msgspec

from soundstage.core.environment import Environment
from soundstage.core.errors import Unavailable
from soundstage.engines.records.port import Records, TableSpec


class Pending(NamedTuple):
    """A table whose `max_lag_us` may be lowered to that of `spec` from `due_us` on."""

    due_us: int
    records: Records
    spec: TableSpec


Check: TypeAlias = Callable[[], None]
"""Raises unless nobody else can be at the same namespace: called right before each thing that cannot be taken back."""


def unchecked() -> None:
    """For tables that nobody else can be at."""


def in_time(environment: Environment, within_us: int) -> Check:
    """Raises `Unavailable` when more time has passed than that: others might take who asks for given up.

    A process that was paused meanwhile may find that the name is another namespace's by then.
    """
    limit_ns = environment.monotonic_ns() + within_us * 1_000

    def check() -> None:
        if environment.monotonic_ns() > limit_ns:
            raise Unavailable("the change took too long, and others may be at it", hint="look, and try again")

    return check


class Tables:
    """Creates, adjusts and drops."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._pending: dict[str, Pending] = {}

    async def create(
        self,
        records: Records,
        specs: Sequence[TableSpec],
        check: Check = unchecked,
        *,
        purge_floor_us: int | None = None,
    ) -> None:
        """The tables exist and are empty: what a half-deleted namespace of the name left is gone."""
        for spec in specs:
            check()
            await records.drop_table(spec.name)
            check()
            await records.create_table(spec)
            if purge_floor_us is not None:
                await records.set_purge_floor(spec.name, purge_floor_us)

    async def drop(self, records: Records, names: Iterable[str], check: Check = unchecked) -> None:
        """The tables are gone."""
        for name in names:
            check()
            self._pending.pop(name, None)
            await records.drop_table(name)

    async def adjust(self, records: Records, specs: Sequence[TableSpec], since_us: int) -> None:
        """The tables exist with these settings, as asked for at `since_us`.

        A lag that shrinks is the exception: writes were let in under the longer one, so that dead rows are
        kept by it until the last of those must have arrived; `settle` then applies the shorter.
        """
        existing = {spec.name: spec for spec in await records.tables()}
        for spec in specs:
            current = existing.get(spec.name)
            # What an earlier change left to be done does not outlive a later one, even one that asks for what is there.
            self._pending.pop(spec.name, None)
            if current == spec:
                continue
            lag_us = spec.max_lag_us if current is None else max(current.max_lag_us, spec.max_lag_us)
            if lag_us > spec.max_lag_us:
                self._pending[spec.name] = Pending(since_us + lag_us - spec.max_lag_us, records, spec)
            await records.create_table(msgspec.structs.replace(spec, max_lag_us=lag_us))

    async def settle(self) -> None:
        """Shorter lags that are due are applied."""
        now_us = self._environment.now_us()
        for name, pending in list(self._pending.items()):
            if pending.due_us <= now_us:
                await pending.records.create_table(pending.spec)
                del self._pending[name]
