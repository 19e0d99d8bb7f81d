"""What does a promise cost? Sets of mutations, accepted and applied, beside the same puts made one by one.

Both keep the order within a set and have every write on disk before the next; the rival loses the rest of a set when
its program dies.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence

import msgspec
import uvloop

from benchmarks.report import Figure, figure, options, show, turns
from soundstage.data.kv import KeyValue, Mutation, PutItem, PutMutation
from soundstage.data.writeahead import WriteAhead
from soundstage.runtime.stage import Stage

CALLERS = 32
"""Who submit sets at the same time, each its own one after the other."""

MUTATIONS = 10
"""Of a set."""

LOOK_S = 0.002
LOOKS = 15_000

VALUE = bytes(200)
NAMESPACE = "bench"


class Scale(msgspec.Struct, frozen=True):
    """`sets` of each caller in a round."""

    sets: int
    rounds: int


FULL = Scale(sets=20, rounds=5)
QUICK = Scale(sets=4, rounds=3)


class Subject:
    """The key-value store of a stage in this process; every set writes records of its own."""

    def __init__(self, stage: Stage) -> None:
        self._kv = stage.client(KeyValue)
        self._ahead = stage.client(WriteAhead)
        self._made = 0

    async def accepted(self, sets: int) -> float:
        """Sets per second until their callers are answered."""
        rate, ids = await self._timed(sets, self._submit)
        await self._await_applied(ids)
        return rate

    async def applied(self, sets: int) -> float:
        """Sets per second until the last of them is applied."""
        began = time.perf_counter()
        _, ids = await self._timed(sets, self._submit)
        await self._await_applied(ids)
        return CALLERS * sets / (time.perf_counter() - began)

    async def direct(self, sets: int) -> float:
        """Sets per second of whoever puts the same items by itself."""
        rate, _ = await self._timed(sets, self._put)
        return rate

    async def _timed(self, sets: int, one: Callable[[int], Awaitable[str]]) -> tuple[float, list[str]]:
        first, self._made = self._made, self._made + CALLERS * sets

        async def caller(number: int) -> list[str]:
            return [await one(first + number * sets + each) for each in range(sets)]

        began = time.perf_counter()
        found = await asyncio.gather(*map(caller, range(CALLERS)))
        return CALLERS * sets / (time.perf_counter() - began), [name for names in found for name in names]

    async def _submit(self, number: int) -> str:
        mutations = [
            Mutation(put=PutMutation(namespace=NAMESPACE, id=f"{number}/{each}", items=[_item()]))
            for each in range(MUTATIONS)
        ]
        return (await self._kv.mutate_items(mutations=mutations)).mutation_id

    async def _put(self, number: int) -> str:
        for each in range(MUTATIONS):
            await self._kv.put_items(namespace=NAMESPACE, id=f"{number}/{each}", items=[_item()])
        return ""

    async def _await_applied(self, ids: list[str]) -> None:
        for mutation_id in ids:
            for _ in range(LOOKS):
                if (await self._ahead.status(mutation_id=mutation_id)).state == "applied":
                    break
                await asyncio.sleep(LOOK_S)
            else:
                raise RuntimeError(f"the set {mutation_id} is not applied after {LOOKS * LOOK_S:.0f} s")


def _item() -> PutItem:
    return PutItem(key=b"k", value=VALUE)


async def measured(scale: Scale) -> list[Figure]:
    """All figures, on an embedded engine that flushes in groups."""
    with tempfile.TemporaryDirectory(prefix="soundstage-bench-") as folder:
        config = {"data": folder, "namespaces": {NAMESPACE: {"abstraction": "kv"}}}
        async with Stage.open(config=config, variables={}) as stage:
            subject = Subject(stage)
            await subject.applied(1)
            accepted, applied, direct = await turns(
                scale.rounds,
                lambda: subject.accepted(scale.sets),
                lambda: subject.applied(scale.sets),
                lambda: subject.direct(scale.sets),
            )
    note = f"sets of {MUTATIONS} puts, {CALLERS} callers; the rival puts one by one"
    return [
        figure("writeahead.accepted", accepted, direct, "sets/s", "higher", note=f"until answered; {note}"),
        figure("writeahead.applied", applied, direct, "sets/s", "higher", note=f"until the last is applied; {note}"),
    ]


def measure(scale: Scale) -> list[Figure]:
    """All figures."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(measured(scale))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    chosen = options(__doc__ or "", arguments)
    show("Sets of mutations", measure(QUICK if chosen.quick else FULL))


if __name__ == "__main__":
    main()
