"""What keeps a put from taking the place of another's: on a server that heeds conditions, and on one that does not.

The latter is the same server behind a wire that renames the header.
"""

from __future__ import annotations

import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from tests.conformance.proxy import Proxy
from tests.conformance.s3.conftest import BUCKET, MIB

from soundstage.core.environment import SystemEnvironment, VirtualEnvironment
from soundstage.core.errors import AlreadyExists, Unavailable
from soundstage.engines.blobs.port import Expectation
from soundstage.engines.blobs.s3 import S3Blobs
from soundstage.engines.blobs.s3.conditions import LEFT_FOR_US, Condition
from soundstage.runtime.config import EngineConfig
from soundstage.runtime.trial import try_engine
from soundstage.testing.blobs.calls import content_of, keys, put, read

ABSENT = Expectation(absent=True)
NONE_MATCH, MATCH = b"If-None-Match", b"If-Match"


@pytest.fixture
def careless(through: S3Blobs) -> S3Blobs:
    """An engine of a server that takes no notice of what `proxy.forgets` names."""
    return through


def left(endpoint: str, prefix: str) -> int:
    """How many objects and uploads of the prefix there are."""
    found = 0
    for query in ("list-type=2", "uploads"):
        with urllib.request.urlopen(f"{endpoint}/{BUCKET}?{query}", timeout=10) as answer:
            found += answer.read().count(f"<Key>{prefix}/".encode())
    return found


async def refused(call: Awaitable[object]) -> str:
    """Why it is not done, to be read by people: nothing was changed, and asking again is of no use."""
    with pytest.raises(Unavailable) as error:
        await call
    assert (error.value.outcome, error.value.retryable, bool(error.value.hint)) == ("not_applied", False, True)
    return str(error.value)


async def test_the_server_of_the_suite_heeds_all_conditions_and_the_proof_leaves_nothing(
    engine: S3Blobs, endpoint: str, prefix: str
) -> None:
    assert "no notice" not in await engine.server_version()
    assert engine.warning is None
    assert left(endpoint, prefix) == 0


async def test_a_condition_is_proved_once(careless: S3Blobs, proxy: Proxy) -> None:
    await put(careless, "a", absent=True)
    proxy.requests = b""
    await put(careless, "b", absent=True)
    assert proxy.requests.count(b"PUT /") == 1


async def test_what_the_proof_of_a_dead_process_left_goes_with_a_sweep(
    engine: S3Blobs, endpoint: str, prefix: str, environment: VirtualEnvironment
) -> None:
    due_us = environment.now_us() + LEFT_FOR_US
    await engine._link.ask("put_object", reading=True, body=b"", Key=f"{prefix}/expiring/{due_us:020d}/~0")
    await engine.sweep(10)
    assert left(endpoint, prefix) == 1
    environment.advance(LEFT_FOR_US // 1_000_000)
    await engine.sweep(10)
    assert left(endpoint, prefix) == 0


@pytest.mark.parametrize("size", [5, 6 * MIB], ids=["whole", "parts"])
async def test_where_none_may_be_nothing_is_put_on_a_server_that_would_replace_it(
    careless: S3Blobs, proxy: Proxy, size: int
) -> None:
    proxy.forgets = NONE_MATCH
    await put(careless, "film", b"first")
    assert "no notice of If-None-Match" in await refused(put(careless, "other", content_of(size), absent=True))
    assert (await keys(careless), await read(careless, "film")) == (["film"], b"first")
    await put(careless, "film", b"second")
    assert await read(careless, "film") == b"second"


async def test_a_large_put_whose_size_is_told_is_refused_before_it_is_sent(careless: S3Blobs, proxy: Proxy) -> None:
    assert await careless._conditions.known(Condition.WHOLE)
    proxy.forgets = NONE_MATCH
    asked: list[int] = []

    async def chunks() -> AsyncIterator[bytes]:
        asked.append(1)
        yield content_of(6 * MIB)

    expect = Expectation(absent=True, size=6 * MIB)
    assert "in parts" in await refused(careless.put("film", chunks(), expect=expect))
    assert asked == []


async def test_what_has_expired_stays_unseen_on_a_server_that_would_delete_what_took_its_place(
    careless: S3Blobs, proxy: Proxy, environment: VirtualEnvironment
) -> None:
    proxy.forgets = MATCH
    await put(careless, "film", b"old", expires_us=environment.now_us() + 1)
    environment.advance(1)
    assert (await careless.sweep(10), await keys(careless)) == (0, [])
    assert "If-Match on deletes" in (careless.warning or "")
    assert "If-Match on deletes" in await refused(put(careless, "film", b"new", absent=True))
    await put(careless, "film", b"new")
    assert (await careless.sweep(10), await read(careless, "film")) == (0, b"new")


@pytest.mark.parametrize("size", [5, 6 * MIB], ids=["whole", "parts"])
async def test_of_two_puts_over_what_has_expired_the_first_stays(
    engine: S3Blobs, environment: VirtualEnvironment, size: int
) -> None:
    await put(engine, "film", b"old", expires_us=environment.now_us() + 1)
    environment.advance(1)

    async def overtaken() -> AsyncIterator[bytes]:
        yield content_of(size)
        await put(engine, "film", b"first", absent=True)

    with pytest.raises(AlreadyExists):
        await engine.put("film", overtaken(), expect=ABSENT)
    assert await read(engine, "film") == b"first"
    environment.advance(1)
    assert (await engine.sweep(10), await read(engine, "film")) == (0, b"first")


async def test_of_a_put_over_what_has_expired_and_one_at_its_last_moment_the_other_stays(
    engine: S3Blobs, environment: VirtualEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    await put(engine, "film", b"old", expires_us=environment.now_us() + 1)
    environment.advance(1)
    ask: Callable[..., Awaitable[object]] = engine._link.ask
    meanwhile = [b"first"]

    async def overtaken(operation: str, **request: Any) -> object:
        answer = await ask(operation, **request)
        if operation == "delete_object" and str(request["Key"]).endswith("objects/film") and meanwhile:
            await put(engine, "film", meanwhile.pop())
        return answer

    monkeypatch.setattr(engine._link, "ask", overtaken)
    with pytest.raises(AlreadyExists):
        await put(engine, "film", b"second", absent=True)
    assert await read(engine, "film") == b"first"


async def test_the_check_of_engines_tells_what_the_server_takes_no_notice_of(proxy: Proxy, prefix: str) -> None:
    proxy.forgets = MATCH
    config = EngineConfig(url=f"s3://{BUCKET}/{prefix}?endpoint={proxy.url}&region=us-east-1")
    (trial,) = await try_engine(config, "/nowhere", SystemEnvironment(), rounds=1)
    assert (trial.problem, "takes no notice of If-Match on deletes" in trial.version) == ("", True)
