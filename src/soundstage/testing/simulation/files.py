"""Files under simulation: blobs that are put, replaced, read, deleted and expire, on machines that end at any step.

Some keys are shared: each is judged as one object whose value is the number of the put that it has. Blobs that
expire have keys of their own. Every blob's bytes say which put they are from, to the last of them. Uploads are cut off
in the middle, are not what was announced, and are given up; the quota is small, and so used up now and then.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from contextlib import aclosing
from functools import lru_cache
from random import Random
from typing import Literal, TypeAlias, get_args

from soundstage.core.errors import AlreadyExists, Exhausted, InvalidArgument, NotFound, Unavailable
from soundstage.engines.blobs.file.engine import FileBlobs
from soundstage.engines.blobs.file.layout import BLOCK_BYTES
from soundstage.engines.blobs.port import BlobInfo, Expectation
from soundstage.testing.simulation.environment import SimulatedEnvironment
from soundstage.testing.simulation.linearizer import Linearizer
from soundstage.testing.simulation.scenario import SYSTEM_TABLES, Divergence, Play, Scenario, Site, Step
from soundstage.testing.simulation.shelf import Died, Shelf, trusted

Act: TypeAlias = Literal[
    "put",
    "put_new",
    "cut",
    "give_up",
    "wrong",
    "read",
    "head",
    "delete",
    "list",
    "expiring",
    "boundary",
    "sweep",
    "end",
]
_WEIGHTS = (16, 6, 6, 4, 4, 22, 8, 7, 5, 8, 6, 5, 2)

KEYS = tuple(f"shared/{number}" for number in range(6))
UNIT = 8
"""Bytes that say which put they are from."""

SIZES = (16, 16, 4_096, 70_000, 300_000, BLOCK_BYTES, BLOCK_BYTES + 16)
QUOTA = 4 << 20
PLAIN_SHARE = 0.4
"""Of the folders, those that other programs may open."""
CHUNK = 100_000
TTLS_S = (0.5, 5.0, 60.0)

State: TypeAlias = int | None
Request: TypeAlias = tuple[Literal["put", "new", "delete", "look"], int]
Answer: TypeAlias = int | str | None
Looking: TypeAlias = Callable[[FileBlobs, str, "FileStep"], Awaitable[State]]


class FileStep(Step, frozen=True, kw_only=True, tag="files"):
    """One call about the key `place`. `after_s` passes between the parts of what is sent or read."""

    act: Act
    place: int = 0
    size: int = 16
    after_s: float = 0.0
    ttl_s: float = 1.0
    choice: int = 0


class GaveUp(Exception):
    """Whoever sent the file stopped in the middle."""


class Expiring:
    """A blob that expires; `state` is what is known of it: `kept` once its put was acknowledged."""

    def __init__(self, number: int, size: int, expires_us: int) -> None:
        self.number = number
        self.size = size
        self.expires_us = expires_us
        self.state: Literal["coming", "kept", "unknown", "gone"] = "coming"


class Coming:
    """What is being put: `most` is what there may have been of all, at most, since it began."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.most = 0


def model(state: State, request: Request) -> Iterable[tuple[State, Answer]]:
    """What a blob under one key is promised to be."""
    what, number = request
    if what == "put" or (what == "new" and state is None):
        return [(number, number)]
    if what == "new":
        return [(state, "exists")]
    if what == "delete":
        return [(None, "deleted" if state is not None else "absent")]
    return [(state, state)]


def content(number: int, size: int) -> bytes:
    """The bytes of a put, whose size is a multiple of `UNIT`."""
    return (b"%08d" % number) * (size // UNIT)


@lru_cache(1_000)
def digest(number: int, size: int) -> str:
    """The sha256 of the bytes of a put."""
    return hashlib.sha256(content(number, size)).hexdigest()


class FilesPlay:
    """Judges every answer of the engine, and in the end its folder."""

    def __init__(self, site: Site, random: Random) -> None:
        self._site = site
        number = random.random()
        self._environment = SimulatedEnvironment(site.loop, f"shelf {number}")
        self.shelf: Shelf = Shelf(
            self._environment,
            random,
            quota=QUOTA,
            layout="plain" if number < PLAIN_SHARE else "packed",
            on_end=self._ended,
            refusing=random.choice((0.0, 0.02, 0.1)),
        )
        self._judges = {key: Linearizer[State, Request, Answer](None, model) for key in KEYS}
        self._sizes: dict[int, int] = {}
        self._changing: dict[tuple[str, int], None] = {}
        self._doubtful: dict[tuple[str, int], None] = {}
        self._expiring: dict[str, Expiring] = {}
        self._coming: dict[int, Coming] = {}

    async def prepare(self) -> None:
        await self.shelf.start()

    async def play(self, step: FileStep) -> None:
        key = KEYS[step.place]
        try:
            match step.act:
                case "put" | "put_new" | "cut" | "give_up" | "wrong":
                    await self._put(step, key)
                case "read":
                    await self._look(step, key, self._read)
                case "head":
                    await self._look(step, key, self._head)
                case "delete":
                    await self._delete(step, key)
                case "list":
                    await self._list()
                case "expiring":
                    await self._put_expiring(step)
                case "boundary":
                    await self._at_expiry(step)
                case "sweep":
                    await self.shelf.call(lambda engine: engine.sweep(1 + step.choice % 20))
                case "end":
                    self.shelf.end(power_lost=self.shelf.durability == "group" and step.choice % 2 == 0)
        except (Unavailable, Died):
            self._site.note("unreachable")
            await self.shelf.ready()

    async def settle(self) -> None:
        """What is there is what was kept, what is not leaves nothing behind, and so it is after one more end."""
        try:
            await self.shelf.ready()
            await self._environment.sleep(2.0)
            await self._check_folder(first=True)
            self.shelf.end(power_lost=self.shelf.durability == "group")
            await self.shelf.ready()
            for number, key in enumerate(KEYS):
                step = FileStep(number=-1 - number, client=0, act="read", place=number)
                await self._look(step, key, self._read)
            await self._list()
            await self._check_folder(first=False)
        finally:
            await self.shelf.stop()

    async def _check_folder(self, *, first: bool) -> None:
        """Expired blobs once swept, half uploads and what was replaced take no room."""
        await self.shelf.call(lambda engine: engine.sweep(1_000))
        usage = await self.shelf.call(lambda engine: engine.usage())
        listed = await self.shelf.call(lambda engine: engine.list())
        if usage != (len(listed), sum(info.size for info in listed)):
            raise Divergence(f"the engine counts {usage}, and lists {listed}")
        staged, there = self.shelf.left()
        # What the disk refused to remove is removed by the next put of its key, or when the engine starts.
        if staged or there < len(listed) or (there > len(listed) and not (first and self.shelf.counts["refused"])):
            raise Divergence(f"{staged} files are being written and {there} are there, for {len(listed)} blobs")

    # -- changes

    async def _put(self, step: FileStep, key: str) -> None:
        """An upload, which may be no good: then it leaves everything as it was."""
        self._sizes[step.number] = step.size
        number = self._begin(key, ("new" if step.act == "put_new" else "put", step.number))
        expect = Expectation(absent=step.act == "put_new")
        if step.act == "wrong":
            expect = Expectation(size=step.size + UNIT) if step.choice % 2 else Expectation(sha256="0" * 64)
        coming = self._expect(step)
        putting = asyncio.ensure_future(self.shelf.call(lambda engine: self._send(engine, key, step, expect)))
        try:
            if step.act == "give_up":
                await asyncio.wait({putting}, timeout=step.after_s * 1.5)
                putting.cancel()
            info = await putting
        except asyncio.CancelledError:
            if not putting.done():
                putting.cancel()
                raise
            self._lose(key, number)
            self._site.note("given_up")
        except AlreadyExists:
            self._end(key, number, "exists")
        except Exhausted as error:
            self._check_full(coming, error)
            self._refuse(key, number)
            self._site.note("full")
        except GaveUp:
            self._refuse(key, number)
            self._site.note("cut")
        except InvalidArgument:
            if step.act != "wrong":
                raise
            self._refuse(key, number)
            self._site.note("wrong")
        except Unavailable as error:
            if error.outcome == "not_applied":
                self._refuse(key, number)
            else:
                # It may be back once the machine has ended, and until then it is not there.
                self._doubtful[key, number] = self._changing.pop((key, number))
            raise
        else:
            if step.act in ("cut", "wrong"):
                raise Divergence(f"{step} was kept as {info}")
            self._check_info(info, step.number)
            self._end(key, number, step.number)
            self._site.note("kept")
        finally:
            del self._coming[step.number]

    async def _send(self, engine: FileBlobs, key: str, step: FileStep, expect: Expectation) -> BlobInfo:
        async with aclosing(self._chunks(step)) as chunks:
            return await engine.put(key, chunks, expect=expect, metadata={"number": f"{step.number}"})

    async def _chunks(self, step: FileStep) -> AsyncGenerator[bytes]:
        whole = content(step.number, step.size)
        parts = range(0, step.size, CHUNK)
        cut = parts[step.choice % len(parts)] if step.act == "cut" else None
        for at in parts:
            if step.after_s:
                await self._environment.sleep(step.after_s)
            if at == cut:
                raise GaveUp
            yield whole[at : at + CHUNK]

    async def _delete(self, step: FileStep, key: str) -> None:
        number = self._begin(key, ("delete", step.number))
        with trusted():
            try:
                there = await self.shelf.call(lambda engine: engine.delete(key))
            except Unavailable:
                self._refuse(key, number)
                raise
        self._end(key, number, "deleted" if there else "absent")
        self._site.note("deleted" if there else "absent")

    def _begin(self, key: str, request: Request) -> int:
        number = self._judges[key].begin(request)
        self._changing[key, number] = None
        return number

    def _end(self, key: str, number: int, answer: Answer) -> None:
        # The call may have come to the machine after the one that it was begun on, and is taken for lost already.
        if (key, number) in self._changing:
            del self._changing[key, number]
            self._judges[key].end(number, answer)

    def _refuse(self, key: str, number: int) -> None:
        # The machine may have ended before the call came to it.
        if (key, number) in self._changing:
            del self._changing[key, number]
            self._judges[key].refuse(number)

    def _lose(self, key: str, number: int) -> None:
        if (key, number) in self._changing:
            del self._changing[key, number]
            self._judges[key].lose(number)

    def _ended(self) -> None:
        """The machine has ended: what it was about to do it has done, or never will."""
        for key, number in (*self._changing, *self._doubtful):
            self._judges[key].lose(number)
        self._changing.clear()
        self._doubtful.clear()
        for blob in self._expiring.values():
            if blob.state == "coming":
                blob.state = "unknown"

    # -- what there is room for

    def _expect(self, step: FileStep) -> Coming:
        """The step begins to put: everything that is being put may find less room from here on."""
        coming = self._coming[step.number] = Coming(step.size)
        most = sum(max(map(self._size_of, judge.states())) for judge in self._judges.values())
        most += sum(blob.size for blob in self._expiring.values() if blob.state != "gone")
        most += sum(each.size for each in self._coming.values())
        for each in self._coming.values():
            each.most = max(each.most, most)
        return coming

    def _check_full(self, coming: Coming, error: Exhausted) -> None:
        if coming.most <= QUOTA:
            raise Divergence(f"{coming.size} bytes were refused, with {coming.most} of {QUOTA} at most: {error}")

    def _size_of(self, state: State) -> int:
        return 0 if state is None else self._sizes[state]

    # -- reads

    async def _look(self, step: FileStep, key: str, how: Looking) -> None:
        judge = self._judges[key]
        number = judge.begin(("look", step.number))
        try:
            found = await self.shelf.call(lambda engine: how(engine, key, step))
        except (Unavailable, Died):
            judge.refuse(number)
            raise
        judge.end(number, found)
        self._site.note("nothing" if found is None else "seen")

    async def _head(self, engine: FileBlobs, key: str, step: FileStep) -> State:
        try:
            info = await engine.head(key)
        except NotFound:
            return None
        return self._check_info(info)

    async def _read(self, engine: FileBlobs, key: str, step: FileStep) -> State:
        """Whichever put is read, it is read to its end, though the key is replaced and deleted meanwhile."""
        start, life, found = UNIT * (step.choice % 2), self.shelf.lives, b""
        try:
            async with aclosing(engine.open(key, start)) as chunks:
                async for chunk in chunks:
                    found += chunk
                    self.shelf.check(life)
                    if step.after_s:
                        await self._environment.sleep(step.after_s)
        except NotFound:
            return None
        number = int(found[:UNIT])
        if found != content(number, self._sizes[number])[start:]:
            raise Divergence(f"{len(found)} bytes of {key} are not those of the put {number}")
        return number

    async def _list(self) -> None:
        looks = {key: judge.begin(("look", 0)) for key, judge in self._judges.items()}
        before_us = self._environment.now_us()
        try:
            listed = {info.key: info for info in await self.shelf.call(lambda engine: engine.list())}
            usage = await self.shelf.call(lambda engine: engine.usage())
        except (Unavailable, Died):
            for key, number in looks.items():
                self._judges[key].refuse(number)
            raise
        for key, number in looks.items():
            self._judges[key].end(number, self._check_info(listed.pop(key)) if key in listed else None)
        for key, blob in self._expiring.items():
            self._judge_expiring(blob, listed.pop(key, None), before_us)
        if listed or usage.bytes > QUOTA:
            raise Divergence(f"nobody put {sorted(listed)}, and the quota is {QUOTA}: {usage}")

    def _check_info(self, info: BlobInfo, number: int | None = None) -> int:
        told = int(info.metadata["number"])
        size = self._sizes[told]
        if number not in (None, told) or (info.size, info.sha256) != (size, digest(told, size)):
            raise Divergence(f"the put {told if number is None else number} is told of as {info}")
        return told

    # -- what expires

    async def _put_expiring(self, step: FileStep) -> None:
        self._sizes[step.number] = step.size
        key, expires_us = f"expiring/{step.number}", self._environment.now_us() + round(step.ttl_s * 1e6)
        blob = self._expiring[key] = Expiring(step.number, step.size, expires_us)
        coming = self._expect(step)

        async def put(engine: FileBlobs) -> BlobInfo:
            async with aclosing(self._chunks(step)) as chunks:
                said = {"number": f"{step.number}"}
                return await engine.put(key, chunks, expires_us=expires_us, metadata=said)

        try:
            self._check_info(await self.shelf.call(put), step.number)
            blob.state = "kept"
        except Exhausted as error:
            self._check_full(coming, error)
            blob.state = "gone"
        except Unavailable as error:
            blob.state = "gone" if error.outcome == "not_applied" else "unknown"
            raise
        finally:
            del self._coming[step.number]

    async def _at_expiry(self, step: FileStep) -> None:
        """A blob that expires is looked at in the last microsecond of its life, and in the first after it."""
        lasting = [key for key, blob in self._expiring.items() if blob.expires_us > self._environment.now_us()]
        if not lasting:
            return
        key = lasting[step.choice % len(lasting)]
        for late_us in (-1, 0):
            while (wait_us := self._expiring[key].expires_us + late_us - self._environment.now_us()) > 0:
                await self._environment.sleep(wait_us / 1e6)
            before_us = self._environment.now_us()
            try:
                found = await self.shelf.call(lambda engine: engine.head(key))
            except NotFound:
                found = None
            self._judge_expiring(self._expiring[key], found, before_us)
        self._site.note("boundary")

    def _judge_expiring(self, blob: Expiring, found: BlobInfo | None, before_us: int) -> None:
        if found is None:
            if blob.state == "kept" and self._environment.now_us() < blob.expires_us:
                raise Divergence(f"the blob {blob.number} is gone, and expires at {blob.expires_us}")
            return
        self._check_info(found, blob.number)
        if blob.state == "gone" or before_us >= blob.expires_us:
            raise Divergence(f"the blob {blob.number} is there at {before_us}, and was {blob.state}: {found}")
        if blob.state == "unknown":
            blob.state = "kept"


class FilesScenario:
    """See `soundstage.testing.simulation.scenario`."""

    system = "files"
    spared: frozenset[str] = SYSTEM_TABLES
    situations: Mapping[str, float] = {
        "kept": 0.1,
        "cut": 0.01,
        "given_up": 0.005,
        "wrong": 0.01,
        "seen": 0.1,
        "deleted": 0.01,
        "full": 0.005,
        "boundary": 0.005,
        "kill": 0.002,
        "power": 0.002,
        "unreachable": 0.005,
    }

    def draw(self, random: Random, number: int, client: int) -> FileStep:
        return FileStep(
            number=number,
            client=client,
            pause_s=random.choice((0.0, 0.0, 0.005, 0.1)),
            act=random.choices(get_args(Act), _WEIGHTS)[0],
            place=random.randrange(len(KEYS)),
            size=random.choice(SIZES),
            after_s=random.choice((0.0, 0.001, 0.02)),
            ttl_s=random.choice(TTLS_S),
            choice=random.randrange(1_000),
        )

    def open(self, site: Site, random: Random) -> Play:
        return FilesPlay(site, random)


SCENARIO: Scenario = FilesScenario()
