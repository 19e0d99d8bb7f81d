"""Whether a namespace holds anything, and when nobody can write to it any more."""

from __future__ import annotations

from soundstage.core.environment import Environment
from soundstage.core.errors import Unavailable
from soundstage.engines.records.port import Budget
from soundstage.runtime.admission import Admission, Gate
from soundstage.runtime.control.declaration import Declared

STEP_S = 0.01
WITHIN_S = 30.0

_ONE_ROW = Budget(rows=1, bytes=1)


class Vacancy:
    """Looks at namespaces before they are deleted.

    `others_s` is how long other processes may go on serving what is marked as deleted; 0: there are none.
    """

    def __init__(self, admission: Admission, environment: Environment, others_s: float) -> None:
        self._admission = admission
        self._environment = environment
        self._others_s = others_s

    async def is_empty(self, declared: Declared) -> bool:
        """Whether a namespace has no record that anything is left of."""
        for table in declared.tables:
            position, pages = None, 0
            while pages == 0 or position is not None:
                page = await declared.records.walk(table.name, 0, 1, position, _ONE_ROW, self._environment.now_us())
                if page.partitions:
                    return False
                position, pages = page.position, pages + 1
        return True

    def gate(self, name: str) -> Gate | None:
        """What counts the calls of a namespace that is served; ask before it is forgotten."""
        return self._admission.gates.get(name)

    async def others_follow(self) -> None:
        """Other processes serve namespaces as they are stored now, or none do."""
        if self._others_s:
            await self._environment.sleep(self._others_s)

    async def comes(self, gate: Gate | None) -> None:
        """The calls that `gate` let in have ended, and other processes let none in either.

        Raises `Unavailable` when one takes longer than half a minute.
        """
        await self.others_follow()
        limit_ns = self._environment.monotonic_ns() + round(WITHIN_S * 1e9)
        while gate is not None and gate.in_flight:
            if self._environment.monotonic_ns() > limit_ns:
                raise Unavailable(
                    f"calls of the namespace {gate.name!r} do not end", outcome="not_applied", retryable=True
                )
            await self._environment.sleep(STEP_S)
