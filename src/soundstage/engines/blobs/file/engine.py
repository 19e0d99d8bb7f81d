"""The blobs port on one folder."""

from __future__ import annotations

import asyncio
import shutil
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, ParamSpec, TypeVar

import msgspec
from msgspec import Meta

from soundstage.core.completion import ended, to_the_end
from soundstage.core.environment import Environment
from soundstage.core.errors import AlreadyExists, SoundstageError, Unavailable
from soundstage.core.ids import uuid4_hex
from soundstage.core.size import Size
from soundstage.core.turns import Turns
from soundstage.engines.blobs import refusals
from soundstage.engines.blobs.file.copies import bring_back, check_copy, copy_to
from soundstage.engines.blobs.file.disk import DISK, Disk
from soundstage.engines.blobs.file.layouts import Layout, LayoutName, check_layout, layout_of
from soundstage.engines.blobs.file.objects import STAGING, Found, Reading, Undecided
from soundstage.engines.blobs.file.staging import Cutter, Staged
from soundstage.engines.blobs.index import Index
from soundstage.engines.blobs.port import (
    ANY,
    CHUNK_MAX_BYTES,
    LIST_MAX,
    BlobCapability,
    BlobInfo,
    Expectation,
    Usage,
    check_key,
    check_metadata,
)
from soundstage.engines.rocks.folder import FolderLock
from soundstage.engines.rocks.options import Durability
from soundstage.engines.rocks.space import LowWater

P = ParamSpec("P")
T = TypeVar("T")

AHEAD_MAX = 3
"""Blocks of one blob that are being written, or wait for that, while the next one comes."""

_THREADS = 4
_LOOKS_MAX = 16
"""How often a read looks again for a blob that is replaced at that very moment."""


class FileOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How one folder is kept. With `durability` `os` nothing waits for the disk."""

    durability: Durability = "group"
    quota: Annotated[Size | None, Meta(description="more bytes of blobs than this are refused; none: no limit")] = None
    low_water: Annotated[Size, Meta(description="blobs are refused below this much free disk")] = Size(256 << 20)
    layout: Annotated[
        LayoutName,
        Meta(description="`plain`: below `files/` other programs find each blob's bytes by its key; never changes"),
    ] = "packed"


class FileBlobs:
    """Durable, embedded, in one process; not for use from several event loops.

    The file of a put is whole on disk before it is named, and named before it is known, so that nobody reads
    what a power loss could take back. Replaced files are removed after that; who reads one reads on. Whoever is
    cancelled while files change leaves once they have, so that the folder holds what is known, and nothing else.
    """

    def __init__(self, folder: str, options: FileOptions, environment: Environment, disk: Disk = DISK) -> None:
        self._disk = disk
        self._layout_name: LayoutName = options.layout
        self._durable = options.durability != "os"
        durable = {BlobCapability.DURABLE} if self._durable else set[BlobCapability]()
        self.capabilities: frozenset[BlobCapability] = frozenset({BlobCapability.CHECKPOINT} | durable)
        self.folder: Path = Path(folder).absolute()
        self._layout = self._layout_in(self.folder)
        self._quota = options.quota
        self._environment = environment
        self._low_water = LowWater(str(self.folder), options.low_water, environment, _free_bytes)
        self._lock: FolderLock | None = None
        self._executor: ThreadPoolExecutor | None = None
        self._index = Index()
        self._sequences: dict[str, int] = {}
        self._replaced: dict[str, list[int]] = {}
        self._last_sequence = 0
        self._staged_bytes = 0
        self._leaving: set[str] = set()
        self._changing = Turns[str]()

    async def start(self) -> None:
        lock = FolderLock(str(self.folder))
        try:
            check_layout(self.folder, self._layout_name)
            self._executor = ThreadPoolExecutor(_THREADS, thread_name_prefix="soundstage-blobs")
            await self._in_thread(self._layout.prepare)
            found = await self._in_thread(self._layout.survey)
            await self._in_thread(self._layout.show_all, found)
        except BaseException:
            self._shut_down()
            lock.release()
            raise
        self._lock = lock
        self._index = Index.of([each.info for each in found.values()])
        self._sequences = {key: each.sequence for key, each in found.items()}
        self._last_sequence = max(self._sequences.values(), default=0)

    async def stop(self) -> None:
        self._shut_down()
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    @property
    def warning(self) -> str | None:
        """What should be seen to, though blobs are read and deleted; None while all is well."""
        return self._low_water.warning or self._layout.warning

    def announce(self, url: str | None) -> None:
        """Whoever finds the folder held is told this address."""
        if self._lock is not None:
            self._lock.announce(url)

    async def put(
        self,
        key: str,
        chunks: AsyncIterable[bytes],
        *,
        expect: Expectation = ANY,
        expires_us: int = 0,
        metadata: Mapping[str, str] = MappingProxyType({}),
    ) -> BlobInfo:
        self._check_open()
        check_key(key)
        said = check_metadata(metadata)
        self._check_free(key, expect)
        refusals.check_expiry(expires_us, self._environment.now_us())
        staged = self._layout.staged(self.folder / STAGING / uuid4_hex(self._environment))
        taken, cutter = 0, Cutter()
        writing = deque[asyncio.Future[None]]()
        try:
            async for chunk in chunks:
                taken += len(chunk)
                self._staged_bytes += len(chunk)
                self._check_room(taken, len(chunk), expect)
                for block in cutter.add(chunk):
                    # Blocks are hashed and written, one after the other, while the next ones come.
                    if len(writing) >= AHEAD_MAX:
                        await writing.popleft()
                    before = writing[-1] if writing else None
                    writing.append(asyncio.ensure_future(self._write_after(before, staged, block)))
            if writing:
                await writing[-1]
            await self._in_thread(staged.write, cutter.rest())
            refusals.check_whole(staged.size, staged.sha256, expect)
            return await self._keep(key, staged, expect, expires_us, said)
        finally:
            self._staged_bytes -= taken
            for each in writing:
                await ended(each)
            await self._discard(staged)

    async def _write_after(self, before: asyncio.Future[None] | None, staged: Staged, block: bytes) -> None:
        """The block follows the one `before` it; raises what kept that from being written."""
        if before is not None:
            await asyncio.shield(before)
        await self._in_thread(staged.write, block)

    async def head(self, key: str) -> BlobInfo:
        self._check_open()
        return self._live(key)

    async def open(self, key: str, start: int = 0, end: int | None = None) -> AsyncGenerator[bytes]:
        info, reading = await self._reading(key, start, end)
        last = info.size if end is None else end
        try:
            position, block = start, reading.first
            while position < last:
                if block is None:
                    raise refusals.damaged(key)
                block = block[: last - position]
                for at in range(0, len(block), CHUNK_MAX_BYTES):
                    yield block[at : at + CHUNK_MAX_BYTES]
                    self._check_open()
                position += len(block)
                if position < last:
                    block = await self._in_thread(reading.block, position)
        finally:
            reading.close()

    async def delete(self, key: str) -> bool:
        self._check_open()
        async with self._changing.at(check_key(key)):
            return await to_the_end(self._delete(key))

    async def _delete(self, key: str) -> bool:
        if key in self._replaced:
            # Removed first, for one of them would be the blob once that is gone.
            await self._clear(key)
        known = self._index.find(key)
        if known is None:
            return False
        # Nobody is told that it is gone while a power loss could bring it back.
        self._leaving.add(key)
        try:
            await self._remove(key, self._sequences[key])
        except Unavailable as error:
            if error.outcome != "not_applied":
                self._replaced.setdefault(key, []).append(self._forget(key))
            raise
        finally:
            self._leaving.discard(key)
        self._forget(key)
        return known.is_live(self._environment.now_us())

    def _forget(self, key: str) -> int:
        """The blob is not known any more; returns its sequence."""
        self._index.remove(key)
        return self._sequences.pop(key)

    async def list(self, prefix: str = "", after: str = "", limit: int = LIST_MAX) -> list[BlobInfo]:
        self._check_open()
        refusals.check_limit(limit)
        return self._index.listed(prefix, after, self._environment.now_us(), limit)

    async def usage(self) -> Usage:
        self._check_open()
        return self._index.usage

    async def sweep(self, limit: int) -> int:
        self._check_open()
        expired = self._index.expired(self._environment.now_us(), limit)
        for key in expired:
            await self.delete(key)
        return len(expired)

    async def checkpoint(self, folder: str) -> int:
        """See `BlobCheckpoints`; what expired and was not swept yet comes along."""
        self._check_open()
        keys = list(self._sequences)
        return await self._in_thread(copy_to, self._layout, keys, self._current, folder, self._layout_in)

    def _current(self, key: str) -> int | None:
        return None if key in self._leaving else self._sequences.get(key)

    async def restore(self, folder: str) -> int:
        """See `BlobCheckpoints`."""
        self._check_open()
        return await to_the_end(self._restore(folder))

    async def _restore(self, folder: str) -> int:
        copy, found = await self._in_thread(self._found_in, folder)
        for key in found:
            if key in self._sequences:
                raise AlreadyExists(f"the blob {key!r} is there", hint="restore into a folder without it")
        sequences = {key: each.sequence for key, each in found.items()}
        await self._in_thread(bring_back, copy, sequences, self._layout)
        await self._in_thread(self._layout.show_all, found)
        for each in found.values():
            self._index.put(each.info)
        self._sequences.update(sequences)
        self._last_sequence = max(self._sequences.values(), default=0)
        return len(found)

    def _found_in(self, folder: str) -> tuple[Layout, dict[str, Found]]:
        copy = self._layout_in(Path(folder).absolute())
        check_copy(copy.folder)
        check_layout(copy.folder, self._layout_name)
        return copy, copy.survey(clear=False)

    def _layout_in(self, folder: Path) -> Layout:
        return layout_of(self._layout_name, folder, self._disk, durable=self._durable)

    async def _keep(
        self, key: str, staged: Staged, expect: Expectation, expires_us: int, metadata: dict[str, str]
    ) -> BlobInfo:
        async with self._changing.at(key):
            self._check_free(key, expect)
            now_us = self._environment.now_us()
            info = BlobInfo(
                key=key,
                size=staged.size,
                sha256=staged.sha256,
                created_us=now_us,
                expires_us=expires_us,
                metadata=metadata,
            )
            await self._in_thread(staged.seal, info, durable=self._durable)
            await to_the_end(self._name(info, staged))
            return info

    async def _name(self, info: BlobInfo, staged: Staged) -> None:
        """The sealed blob is there and known, or neither."""
        key, before = info.key, self._sequences.get(info.key)
        sequence = self._last_sequence = max(info.created_us, self._last_sequence + 1)
        try:
            await self._in_thread(self._layout.name, staged, key, sequence)
        except Unavailable as error:
            if error.outcome != "not_applied":
                self._replaced.setdefault(key, []).append(sequence)
            raise
        self._index.put(info)
        self._sequences[key] = sequence
        if before is not None:
            self._replaced.setdefault(key, []).append(before)
        with suppress(Unavailable):
            await self._clear(key)

    async def _clear(self, key: str) -> None:
        """Files of `key` that are no blob are removed; those that cannot be are remembered: they would come back."""
        for sequence in list(self._replaced.get(key, ())):
            await self._remove(key, sequence)
        self._replaced.pop(key, None)

    async def _remove(self, key: str, sequence: int) -> None:
        await self._in_thread(self._layout.remove, key, sequence, last=key in self._leaving)

    async def _reading(self, key: str, start: int, end: int | None) -> tuple[BlobInfo, Reading]:
        for _ in range(_LOOKS_MAX):
            self._check_open()
            info = self._live(key)
            refusals.check_range(info, start, end)
            sequence = self._sequences[key]
            try:
                return info, await self._in_thread(self._layout.reading, key, sequence, info.size, start)
            except FileNotFoundError:
                if key in self._leaving:
                    async with self._changing.at(key):
                        continue
                if self._sequences.get(key) == sequence:
                    raise refusals.damaged(key) from None
        raise Unavailable(f"the blob {key!r} keeps being replaced", hint="read it again", outcome="not_applied")

    async def _discard(self, staged: Staged) -> None:
        if self._executor is not None:
            await self._in_thread(staged.discard)
        else:
            staged.discard()

    def _check_room(self, taken: int, more: int, expect: Expectation) -> None:
        refusals.check_growth(taken, expect)
        refusals.check_all(self._index.usage.bytes + self._staged_bytes, self._quota, expect)
        self._low_water.check(more)

    def _live(self, key: str) -> BlobInfo:
        info = self._index.find(check_key(key))
        if info is None or not info.is_live(self._environment.now_us()):
            raise refusals.no_blob(key)
        return info

    def _check_free(self, key: str, expect: Expectation) -> None:
        known = self._index.find(key)
        if expect.absent and known is not None and known.is_live(self._environment.now_us()):
            raise refusals.exists(key)

    async def _in_thread(self, do: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What `do` returns, run in a thread and to its end even for a caller who is cancelled."""
        if self._executor is None:
            raise refusals.stopped()
        running = asyncio.get_running_loop().run_in_executor(self._executor, lambda: do(*args, **kwargs))
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            # The thread still uses the file that the caller is about to close.
            await ended(running)
            if running.exception() is None and isinstance(opened := running.result(), Reading):
                opened.close()
            raise
        except FileNotFoundError:
            raise
        except OSError as error:
            raise _refused(self.folder, error) from error

    def _shut_down(self) -> None:
        if self._executor is not None:
            executor, self._executor = self._executor, None
            executor.shutdown()

    def _check_open(self) -> None:
        if self._executor is None:
            raise refusals.stopped()


def _free_bytes(folder: str) -> int:
    return shutil.disk_usage(folder).free


def _refused(folder: Path, error: OSError) -> SoundstageError:
    return Unavailable(
        f"the disk of {folder} refuses: {error.strerror or error}",
        hint="free some space, or check that this user may write there",
        outcome="unknown" if isinstance(error, Undecided) else "not_applied",
    )
