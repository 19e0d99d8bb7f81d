"""The blobs engine `file` on a machine that ends at any step of it, and on a disk that forgets.

Its work on files is cut into steps: each thing it hands to a thread, and each flush. Between any two the process may
be killed or the machine lose power; the next one begins on a copy of the folder as the disk would have kept it.
"""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from random import Random
from typing import Any, Literal, TypeVar

from soundstage.core.errors import Unavailable
from soundstage.core.size import Size
from soundstage.engines.blobs.file.disk import Disk
from soundstage.engines.blobs.file.engine import FileBlobs, FileOptions
from soundstage.engines.blobs.file.layouts import LayoutName
from soundstage.engines.blobs.file.objects import OBJECTS, STAGING
from soundstage.engines.blobs.file.plain import SUMS
from soundstage.testing.simulation.environment import SimulatedEnvironment
from soundstage.testing.simulation.storage import scratch
from soundstage.testing.simulation.turn import dice, present, strikes

T = TypeVar("T")

END_RATE = 0.004
"""How often the machine ends at a step."""

DOWN_S = (0.0, 0.01, 0.2)

_CALM: ContextVar[bool] = ContextVar("calm", default=False)
_TRUSTED: ContextVar[bool] = ContextVar("trusted", default=False)


class Died(Exception):
    """The machine ended before the call did; nobody knows what became of it."""


class ForgetfulFolder(Disk):
    """Knows what is safe in the folder of a blobs engine: contents of files that were flushed, and names in folders.

    What is not safe may be kept or lost, each file and each name by itself. `step` is told before and after each
    flush; one that `refuses` is refused by the disk.
    """

    def __init__(self, folder: Path, step: Callable[[], None], refuses: Callable[[], bool]) -> None:
        self._folder = folder
        self._step = step
        self._refuses = refuses
        self._contents: dict[int, bytes] = {}
        self._names: dict[str, dict[str, bytes]] = {}

    def know(self) -> None:
        """All that is there now is safe."""
        for shard in sorted((self._folder / OBJECTS).iterdir()):
            if files := {path.name: path.read_bytes() for path in sorted(shard.iterdir())}:
                self._names[shard.name] = files

    def sync(self, descriptor: int) -> None:
        self._begin()
        status = os.fstat(descriptor)
        self._contents[status.st_ino] = Path(f"/proc/self/fd/{descriptor}").read_bytes()
        self._step()

    def sync_folder(self, folder: Path) -> None:
        self._begin()
        if folder.parent == self._folder / OBJECTS:
            self._names[folder.name] = {path.name: self._safe(path) for path in sorted(folder.iterdir())}
        self._step()

    def _begin(self) -> None:
        self._step()
        if self._refuses():
            raise OSError(errno.EIO, "the disk has a bad day")

    def _safe(self, path: Path) -> bytes:
        """What is safe of a file: all or nothing, since no file is written to once it has a name."""
        content = path.read_bytes()
        known = self._names.get(path.parent.name, {}).get(path.name)
        return content if content in (known, self._contents.get(path.stat().st_ino)) else b""

    def copy(self, folder: Path, random: Random, *, power_lost: bool) -> None:
        """`folder` is what the machine would hold if it ended now."""
        shutil.copytree(self._folder, folder)
        if not power_lost:
            return
        for shard in sorted((self._folder / OBJECTS).iterdir()):
            safe = self._names.get(shard.name, {})
            there = {path.name: path for path in sorted(shard.iterdir())}
            for name in sorted(safe.keys() | there.keys()):
                copied = folder / OBJECTS / shard.name / name
                if name not in there:
                    if random.random() < 0.5:
                        copied.write_bytes(safe[name])
                elif name not in safe and random.random() < 0.5:
                    copied.unlink()
                elif (content := self._safe(there[name])) != copied.read_bytes() and random.random() < 0.5:
                    copied.write_bytes(content)


class SteppedBlobs(FileBlobs):
    """The engine; `step` is called before and after everything that is done to its files."""

    def __init__(
        self,
        folder: str,
        options: FileOptions,
        environment: SimulatedEnvironment,
        disk: ForgetfulFolder,
        step: Callable[[], None],
    ) -> None:
        super().__init__(folder, options, environment, disk)
        self._step = step

    async def _in_thread(self, do: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        def stepped() -> T:
            self._step()
            done = do(*args, **kwargs)
            self._step()
            return done

        return await super()._in_thread(stepped)


class Shelf:
    """One machine after the other on one folder of blobs; `lives` counts them, `counts` what befell them.

    `on_end` is called at the instant at which one ends, `refusing` is how often its disk refuses to flush.
    """

    def __init__(
        self,
        environment: SimulatedEnvironment,
        random: Random,
        *,
        quota: int,
        layout: LayoutName = "packed",
        on_end: Callable[[], None],
        refusing: float,
    ) -> None:
        self.durability: Literal["group", "os"] = random.choices(("group", "os"), (9, 1))[0]
        self.lives: int = 0
        self.counts: Counter[str] = Counter()
        self._environment = environment
        self._random = random
        self._options = FileOptions(durability=self.durability, quota=Size(quota), low_water=Size(0), layout=layout)
        self._on_end = on_end
        self._refusing = refusing
        self._root = Path(tempfile.mkdtemp(prefix="soundstage-simulation-", dir=scratch()))
        self._engine: SteppedBlobs | None = None
        self._disk: ForgetfulFolder
        self._reopening: list[asyncio.Future[None]] = []

    @property
    def folder(self) -> Path:
        """That of the present machine."""
        return self._root / str(self.lives)

    async def start(self) -> None:
        """The engine serves what the last machine left."""
        life = self.lives
        self._disk = ForgetfulFolder(self.folder, lambda: self._step(life), lambda: self._refuses(life))
        engine = SteppedBlobs(str(self.folder), self._options, self._environment, self._disk, lambda: self._step(life))
        with calmly():
            await engine.start()
        self._disk.know()
        self._engine = engine

    async def call(self, do: Callable[[FileBlobs], Awaitable[T]]) -> T:
        """What `do` returns. Raises `Unavailable` where there is no machine, and `Died` when it ends before."""
        engine, life = self._engine, self.lives
        if engine is None:
            raise Unavailable("the machine is down", outcome="not_applied")
        try:
            answer = await do(engine)
        except Exception:
            self.check(life)
            raise
        self.check(life)
        return answer

    def check(self, life: int) -> None:
        """Raises `Died` unless that machine is still there."""
        if life != self.lives:
            raise Died

    def end(self, *, power_lost: bool) -> None:
        """The machine has ended at once; another one begins by itself."""
        before, disk, engine = self.lives, self._disk, self._engine
        if engine is None:
            return
        self.lives += 1
        self._engine = None
        disk.copy(self.folder, self._random, power_lost=power_lost)
        self.counts["power" if power_lost else "kill"] += 1
        self._on_end()
        self._reopening.append(asyncio.ensure_future(self._go_on(engine, before, self._random.choice(DOWN_S))))

    async def ready(self) -> None:
        """A machine is there."""
        while self._engine is None and self._reopening:
            for each in self._reopening:
                if each.done():
                    each.result()
            await self._environment.sleep(0.01)

    async def stop(self) -> None:
        """Nothing is left of any of them. Idempotent."""
        reopening, self._reopening = self._reopening, []
        await asyncio.gather(*reopening)
        engine, self._engine = self._engine, None
        if engine is not None:
            await engine.stop()
        shutil.rmtree(self._root, ignore_errors=True)

    def left(self) -> tuple[int, int]:
        """How many blobs are being written, and how many are there."""
        staged = sum(1 for path in (self.folder / STAGING).iterdir() if path.suffix != SUMS)
        return staged, sum(1 for path in (self.folder / OBJECTS).glob("*/*") if path.suffix != SUMS)

    async def _go_on(self, engine: SteppedBlobs, number: int, down_s: float) -> None:
        # What its code still does, it does to a folder that nobody looks at any more.
        with calmly():
            await self._environment.sleep(down_s)
            await self.start()
            await self._environment.sleep(1.0)
            await engine.stop()
            shutil.rmtree(self._root / str(number), ignore_errors=True)

    def _step(self, life: int) -> None:
        if life == self.lives and strikes(END_RATE) and not _CALM.get():
            power_lost = self.durability == "group" and dice().random() < 0.6
            turn = present()
            if turn is not None:
                turn.situations.add("power" if power_lost else "kill")
            self.end(power_lost=power_lost)

    def _refuses(self, life: int) -> bool:
        refused = life == self.lives and not _CALM.get() and not _TRUSTED.get() and strikes(self._refusing)
        self.counts["refused"] += refused
        return refused


@contextmanager
def trusted() -> Generator[None]:
    """Within, the disk refuses nothing."""
    token = _TRUSTED.set(True)
    try:
        yield
    finally:
        _TRUSTED.reset(token)


@contextmanager
def calmly() -> Generator[None]:
    """Within, nothing befalls the machine."""
    token = _CALM.set(True)
    try:
        yield
    finally:
        _CALM.reset(token)
