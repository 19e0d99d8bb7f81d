"""How much is read in vain to fill a page of bytes? Ours beside a static limit, from Cassandra, which counts rows.

A record of items of all sizes up to 2 kB, and one where nine in ten have 100 bytes and the others 20 kB, are walked in
pages of 100 kB. The rival asks for 1,000 rows each time, whatever their size, as the namespace's knobs `rows_min` and
`rows_max` make it. Amplification is what the store returned over what the pages held, from the second page on.
"""

from __future__ import annotations

import random
import re
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec
import uvloop

from benchmarks.report import Figure, figure, options, show
from soundstage.data.kv import KeyValue, PutItem, Selection
from soundstage.runtime.namespaces import Namespaces, NamespaceSpec
from soundstage.runtime.stage import Stage
from soundstage.servers import Cluster

PAGE = 100_000
STATIC_ROWS = 1_000
AT_ONCE = 100

SIZES: dict[str, Callable[[random.Random], int]] = {
    "uniform": lambda chance: chance.randrange(1, 2_000),
    "bimodal": lambda chance: 100 if chance.random() < 0.9 else 20_000,
}

MOST = {"uniform": 1.3, "bimodal": 2.0}
"""Amplification at most."""

ADAPTIVE, STATIC = "adaptive", "static"


class Scale(msgspec.Struct, frozen=True):
    """Items of each record, and how often it is walked."""

    items: int
    walks: int


FULL = Scale(items=10_000, walks=5)
QUICK = Scale(items=3_000, walks=3)


class Walk(NamedTuple):
    """What a walk cost from its second page on."""

    amplification: float
    seconds: float


class Subject:
    """A stage with a namespace of each kind, filled alike."""

    def __init__(self, stage: Stage, scale: Scale) -> None:
        self._stage = stage
        self._scale = scale

    async def prepare(self) -> None:
        """Namespaces and records are there."""
        limits = {ADAPTIVE: {}, STATIC: {"rows_min": STATIC_ROWS, "rows_max": STATIC_ROWS}}
        for name, config in limits.items():
            spec = NamespaceSpec(name=name, abstraction="kv", config={"conditional_writes": False, **config})
            await self._stage.client(Namespaces).put(namespace=spec)
            for sizes in SIZES:
                await self._fill(name, sizes)

    async def walk(self, namespace: str, record: str) -> Walk:
        """A walk over the record."""
        before, began = self._counted(namespace), 0.0
        seen = 0
        async for page in self._kv(namespace).get_items.pages(id=record, selection=Selection(page_size_bytes=PAGE)):
            if not seen:
                before, began = self._counted(namespace), time.perf_counter()
            seen += len(page.items)
        assert seen == self._scale.items
        read, returned = (now - then for now, then in zip(self._counted(namespace), before, strict=True))
        return Walk(read / returned, time.perf_counter() - began)

    async def _fill(self, namespace: str, sizes: str) -> None:
        chance = random.Random(6)
        items = [
            PutItem(key=b"%06d" % number, value=chance.randbytes(SIZES[sizes](chance)))
            for number in range(self._scale.items)
        ]
        for first in range(0, len(items), AT_ONCE):
            await self._kv(namespace).put_items(id=sizes, items=items[first : first + AT_ONCE])

    def _kv(self, namespace: str) -> KeyValue:
        return self._stage.client(KeyValue, namespace).with_options(deadline=60)

    def _counted(self, namespace: str) -> tuple[float, float]:
        text = self._stage.metrics_text().decode()
        return _metric(text, "kv_read_bytes", namespace), _metric(text, "kv_returned_bytes", namespace)


def _metric(text: str, name: str, namespace: str) -> float:
    found = re.search(rf'^soundstage_{name}_total{{namespace="{namespace}",system="kv"}} (\S+)$', text, re.MULTILINE)
    return 0.0 if found is None else float(found[1])


async def compared(subject: Subject, record: str, scale: Scale) -> list[Figure]:
    """Figures of one record."""
    ours = [await subject.walk(ADAPTIVE, record) for _ in range(scale.walks)]
    rival = [await subject.walk(STATIC, record) for _ in range(scale.walks)]
    held = "held" if ours[-1].amplification < MOST[record] else "NOT held"
    return [
        figure(
            f"kv_pages.{record}_amplification",
            ours[-1].amplification,
            rival[-1].amplification,
            "bytes read per byte returned",
            "lower",
            note=f"{held}: below {MOST[record]}",
        ),
        figure(
            f"kv_pages.{record}_walk",
            min(each.seconds for each in ours) * 1_000,
            min(each.seconds for each in rival) * 1_000,
            "ms",
            "lower",
        ),
    ]


async def measured(url: str, scale: Scale) -> list[Figure]:
    """All figures, on that engine."""
    with tempfile.TemporaryDirectory(prefix="soundstage-bench-") as folder:
        config = {"engines": {"default": {"url": url}}}
        async with Stage.open(config=config, data=folder, variables={}) as stage:
            subject = Subject(stage, scale)
            await subject.prepare()
            return [each for record in SIZES for each in await compared(subject, record, scale)]


def measure(scale: Scale) -> list[Figure]:
    """All figures, on a Cassandra of its own."""
    with Cluster("cassandra") as cluster:
        return uvloop.run(measured(f"{cluster.url}/pages", scale))


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    chosen = options(__doc__ or "", arguments)
    show("Pages", measure(QUICK if chosen.quick else FULL))


if __name__ == "__main__":
    main()
