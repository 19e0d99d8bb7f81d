"""Bytes that no head names: who put them died before the head was there, or just after it was gone."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from soundstage.core.errors import SoundstageError
from soundstage.core.together import all_or_none
from soundstage.engines.blobs.s3.failures import Missing
from soundstage.engines.blobs.s3.layout import Foreign
from soundstage.engines.blobs.s3.link import Link, Unsure
from soundstage.engines.blobs.s3.names import Names
from soundstage.engines.blobs.s3.reading import look

AT_ONCE = 32

AGAIN_US = 24 * 3_600_000_000


async def drop(link: Link, name: str) -> None:
    """The object is gone, if the server answers: what is left is found by its age. Never raises."""
    with suppress(SoundstageError, Missing, Unsure):
        await link.ask("delete_object", reading=False, Key=name)


class Strays:
    """Goes over the objects that have bytes, page by page; the next page begins after the name `after`.

    Each that is old takes a request, so that it begins anew only a day later.
    """

    def __init__(self, link: Link, names: Names) -> None:
        self.after: str = ""
        self._done_us: int | None = None
        self._link = link
        self._names = names
        self._turns = asyncio.Semaphore(AT_ONCE)

    def is_due(self, limit_us: int) -> bool:
        """Whether it is time to go on, or to begin anew with those that were put before `limit_us`."""
        return bool(self.after) or self._done_us is None or limit_us >= self._done_us + AGAIN_US

    async def clear(self, limit_us: int, page: Mapping[str, Any]) -> None:
        """Strays of a page that were put before `limit_us` are gone."""
        listed = page.get("Contents", ())
        old = [each["Key"] for each in listed if each["LastModified"].timestamp() * 1e6 < limit_us]
        await all_or_none([self._clear(name) for name in old])
        self.after = listed[-1]["Key"] if listed and page.get("IsTruncated") else ""
        if not self.after:
            self._done_us = limit_us

    async def _clear(self, name: str) -> None:
        put = self._names.put(name)
        if put is None:
            return
        async with self._turns:
            try:
                seen = await look(self._link, self._names.head(put.key), apart=True)
            except Missing:
                seen = None
            except Foreign:
                return
            if seen is None or seen.seal.put != put.number:
                await drop(self._link, name)
