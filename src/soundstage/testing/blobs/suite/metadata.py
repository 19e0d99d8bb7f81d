"""What is said of a blob is kept with it, up to a bound."""

from __future__ import annotations

import pytest

from soundstage.core.errors import (
    InvalidArgument,
)
from soundstage.engines.blobs.port import Blobs
from soundstage.testing.blobs.calls import in_chunks


class Metadata:
    async def test_what_is_said_of_a_blob_is_kept(self, blobs: Blobs) -> None:
        said = {"name": "Größe.txt", "": "empty"}
        info = await blobs.put("a", in_chunks(b"x"), metadata=said)
        assert (info.metadata, (await blobs.head("a")).metadata) == (said, said)
        await blobs.stop()
        await blobs.start()
        assert (await blobs.list())[0].metadata == said

    async def test_not_too_much_is_said_of_a_blob(self, blobs: Blobs) -> None:
        with pytest.raises(InvalidArgument):
            await blobs.put("a", in_chunks(b"x"), metadata={"a": "ä" * 1_024})
        await blobs.put("a", in_chunks(b"x"), metadata={"aa": "ä" * 1_023})

    async def test_of_a_blob_many_things_are_said_and_not_too_many(self, blobs: Blobs) -> None:
        said = {f"{number:03x}": "" for number in range(128)}
        await blobs.put("a", in_chunks(b"x"), metadata=said)
        assert (await blobs.head("a")).metadata == said
        with pytest.raises(InvalidArgument):
            await blobs.put("a", in_chunks(b"x"), metadata={**said, "more": ""})
