"""The health of an engine is what its server last had to say."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from soundstage.core.environment import VirtualEnvironment
from soundstage.core.errors import Unavailable
from soundstage.engines.blobs.s3.driver import exceptions
from soundstage.engines.blobs.s3.failures import Changed, Missing, OutOfRange
from soundstage.engines.blobs.s3.link import Link
from soundstage.engines.blobs.s3.options import parse_address


class Client:
    """The driver's client of a server that refuses whatever is asked."""

    def __init__(self) -> None:
        self.code = "NoSuchBucket"

    async def get_object(self, **_: object) -> None:
        raise exceptions.ClientError({"Error": {"Code": self.code}}, "GetObject")


async def ask(link: Link) -> None:
    await link.ask("get_object", reading=True, Key="film")


@pytest.mark.parametrize(
    ("code", "refusal"), [("NoSuchKey", Missing), ("PreconditionFailed", Changed), ("InvalidRange", OutOfRange)]
)
async def test_a_server_that_says_how_things_stand_is_in_no_trouble(code: str, refusal: type[Exception]) -> None:
    client = Client()
    link = Link(parse_address("films", urlsplit("s3://films"), {}, None), VirtualEnvironment())
    link._client = client
    with pytest.raises(Unavailable):
        await ask(link)
    assert "NoSuchBucket" in str(link.trouble)
    client.code = code
    with pytest.raises(refusal):
        await ask(link)
    assert link.trouble is None
