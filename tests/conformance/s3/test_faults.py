"""A real server that is killed, hangs, refuses, does not know its caller, is slow or speaks TLS: what callers see."""

from __future__ import annotations

import asyncio
import json
import random
import socket
import ssl
import time
import urllib.parse
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from pathlib import Path

import pytest
import trustme
from tests.conformance.passwords import tried, turned_away_by_variable
from tests.conformance.pauses import paused
from tests.conformance.proxy import Proxy
from tests.conformance.s3.conftest import MIB, engine_at, make_bucket

from soundstage.core.environment import SystemEnvironment
from soundstage.core.errors import SoundstageError, Unauthenticated, Unavailable
from soundstage.engines.blobs.port import Expectation
from soundstage.engines.blobs.s3 import S3Blobs
from soundstage.runtime.config import EngineConfig
from soundstage.runtime.trial import try_engine
from soundstage.servers import Cluster
from soundstage.servers.ports import free_port
from soundstage.testing.blobs.calls import content_of, in_chunks, keys, put, read
from soundstage.testing.servers import server_fixture

pytestmark = pytest.mark.slow

IMPATIENT = "attempt=1s&patience=2s"
PAUSE_S = 10.0
"""Of a server that is too slow for that, before each piece of an answer."""

MOST_S = 30.0
"""What a call of 2 seconds' patience may take on a busy machine."""

own: Callable[[], Generator[Cluster]] = server_fixture("s3", scope="module")
strict: Callable[[], Generator[Cluster]] = server_fixture("s3", scope="module", settings={"checked_after": "3"})


@pytest.fixture
async def impatient(own: Cluster, prefix: str) -> AsyncIterator[S3Blobs]:
    """An engine whose server this module may do to what it likes."""
    make_bucket(own.url)
    made = engine_at(own.url, prefix, SystemEnvironment(), IMPATIENT)
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def patient(impatient: S3Blobs, own: Cluster, prefix: str) -> AsyncIterator[S3Blobs]:
    """Another that waits for a busy machine, for what a test needs to be there before."""
    made = engine_at(own.url, prefix, SystemEnvironment(), "attempt=30s&patience=60s")
    await made.start()
    yield made
    await made.stop()


async def timed(call: Awaitable[object]) -> tuple[SoundstageError, float]:
    """The refusal that a call ends with, and after how long."""
    began = time.monotonic()
    with pytest.raises(SoundstageError) as refused:
        await call
    return refused.value, time.monotonic() - began


async def test_a_server_that_hangs_ends_calls_in_time_and_is_used_again(
    impatient: S3Blobs, patient: S3Blobs, own: Cluster
) -> None:
    await put(patient, "a", b"before")
    async with paused(*own.servers):
        ended = await asyncio.gather(
            timed(put(impatient, "a", b"during")),
            timed(impatient.head("a")),
            timed(read(impatient, "a")),
            timed(impatient.list()),
            timed(impatient.delete("other")),
        )
        warned = impatient.warning
    assert {type(error) for error, _ in ended} == {Unavailable}
    assert [error.outcome for error, _ in ended] == ["unknown", *["not_applied"] * 4]
    assert all(error.retryable and took_s < MOST_S for error, took_s in ended)
    assert warned
    assert await read(impatient, "a") in (b"before", b"during")
    assert impatient.warning is None


async def test_a_reader_of_a_server_that_hangs_is_told(impatient: S3Blobs, patient: S3Blobs, own: Cluster) -> None:
    await put(patient, "film", content_of(20 * MIB))
    reading = impatient.open("film")
    await anext(reading)

    async def rest() -> None:
        async for _ in reading:
            pass

    own.servers[0].pause()
    try:
        error, _ = await timed(rest())
    finally:
        own.servers[0].resume()
    assert (type(error), error.outcome, error.retryable) == (Unavailable, "not_applied", True)


async def test_a_server_that_was_killed_refuses_and_is_used_again_when_it_is_back(
    impatient: S3Blobs, own: Cluster
) -> None:
    await put(impatient, "a", b"before")
    own.servers[0].kill()
    try:
        # The first may have been sent on a connection that was open.
        await timed(put(impatient, "a", b"first"))
        error, took_s = await timed(put(impatient, "a", b"second"))
    finally:
        await asyncio.to_thread(own.restart)
    assert (type(error), error.outcome, error.retryable) == (Unavailable, "not_applied", True)
    assert took_s < MOST_S
    make_bucket(own.url)
    await put(impatient, "a", b"after")
    assert await read(impatient, "a") == b"after"


@pytest.mark.parametrize("back", [False, True], ids=["gone", "back and empty"])
async def test_a_server_that_is_killed_amid_a_large_put_ends_it_in_time_and_nothing_half_is_there(
    impatient: S3Blobs, patient: S3Blobs, own: Cluster, back: bool
) -> None:
    async def cut_off() -> AsyncIterator[bytes]:
        yield content_of(9 * MIB)
        own.servers[0].kill()
        if back:
            await asyncio.to_thread(own.restart)
        yield content_of(9 * MIB)

    error, took_s = await timed((patient if back else impatient).put("film", cut_off()))
    if not back:
        await asyncio.to_thread(own.restart)
        assert took_s < MOST_S
    # Whoever is back has lost its bucket, which is no matter of asking again.
    assert (type(error), error.outcome, error.retryable) == (Unavailable, "not_applied", not back)
    make_bucket(own.url)
    assert await keys(patient) == []
    content = content_of(9 * MIB)
    await put(patient, "film", content)
    assert await read(patient, "film") == content


async def test_a_server_that_hangs_amid_a_large_put_is_waited_for_and_the_blob_is_whole(
    patient: S3Blobs, own: Cluster
) -> None:
    content = content_of(18 * MIB)

    async def slow() -> AsyncIterator[bytes]:
        yield content[: 9 * MIB]
        own.servers[0].pause()
        asyncio.get_running_loop().call_later(0.5, own.servers[0].resume)
        yield content[9 * MIB :]

    try:
        await patient.put("film", slow())
    finally:
        own.servers[0].resume()
    assert await read(patient, "film") == content


async def test_a_bucket_that_is_not_there_fails_the_start_and_says_so(own: Cluster, impatient: S3Blobs) -> None:
    assert impatient.warning is None
    other = engine_at(own.url.replace("127.0.0.1", "localhost"), "a", SystemEnvironment(), IMPATIENT)
    other._link.bucket = "nothing-here"
    error, _ = await timed(other.start())
    assert (type(error), error.retryable, "NoSuchBucket" in str(error)) == (Unavailable, False, True)


async def test_a_refused_connection_fails_the_start_with_the_reason() -> None:
    # Nobody listens at a port that is taken, and nobody else can take it.
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        engine = engine_at(f"http://127.0.0.1:{taken.getsockname()[1]}", "a", SystemEnvironment(), IMPATIENT)
        error, took_s = await timed(engine.start())
    assert (type(error), error.outcome, took_s < MOST_S) == (Unavailable, "not_applied", True)
    assert "connect" in str(error).lower()
    await engine.stop()


@pytest.fixture(scope="module")
def key(strict: Cluster) -> tuple[str, str]:
    """A key that the strict server knows, made while it checked none yet."""

    def iam(**call: str) -> str:
        headers = {"Authorization": "AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1/iam/aws4_request"}
        data = urllib.parse.urlencode({"Version": "2010-05-08", **call}).encode()
        with urllib.request.urlopen(urllib.request.Request(strict.url, data, headers), timeout=10) as answer:
            return answer.read().decode()

    everything = {"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}], "Version": "2012-10-17"}
    iam(Action="CreateUser", UserName="suite")
    iam(Action="PutUserPolicy", UserName="suite", PolicyName="all", PolicyDocument=json.dumps(everything))
    made = iam(Action="CreateAccessKey", UserName="suite")
    name, secret = (made.partition(f"<{tag}>")[2].partition("<")[0] for tag in ("AccessKeyId", "SecretAccessKey"))
    return name, secret


async def test_keys_come_from_the_stage_file_and_wrong_ones_fail_the_start_at_once(
    strict: Cluster, key: tuple[str, str], tmp_path: Path
) -> None:
    right, wrong = tmp_path / "right", tmp_path / "wrong"
    right.write_text(f"{key[1]}\n")
    wrong.write_text("a guess")

    async def start(name: str, path: Path) -> None:
        engine = engine_at(strict.url, "a", SystemEnvironment(), f"access_key={name}&password_file={path}")
        try:
            await engine.start()
        finally:
            await engine.stop()

    for name, path in (("AKIAIOSFODNN7EXAMPLE", right), (key[0], wrong), (key[0], tmp_path / "absent")):
        error, took_s = await timed(start(name, path))
        assert (type(error), bool(error.hint), took_s < MOST_S) == (Unauthenticated, True, True)
    # Let in, and told that there is no bucket.
    error, _ = await timed(start(key[0], right))
    assert "NoSuchBucket" in str(error)


async def test_a_key_whose_secret_is_in_a_variable_is_let_in_and_with_a_wrong_one_it_is_not(
    strict: Cluster, key: tuple[str, str], prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = EngineConfig(url=f"s3://suite/{prefix}?endpoint={strict.url}&region=us-east-1&access_key={key[0]}")
    await turned_away_by_variable(monkeypatch, config)
    # Let in, and told that there is no bucket.
    code, problem = await tried(monkeypatch, config, key[1])
    assert (code, "NoSuchBucket" in problem) == ("unavailable", True)


async def test_without_any_credentials_the_start_says_where_they_may_be(
    endpoint: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    engine = engine_at(endpoint, "a", SystemEnvironment(), IMPATIENT)
    error, _ = await timed(engine.start())
    assert (type(error), "AWS_ACCESS_KEY_ID" in str(error.hint)) == (Unauthenticated, True)
    await engine.stop()


async def test_a_profile_of_the_credentials_file_is_used(
    endpoint: str, prefix: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    (tmp_path / "credentials").write_text("[films]\naws_access_key_id = a\naws_secret_access_key = b\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    engine = engine_at(endpoint, prefix, SystemEnvironment(), "profile=films")
    await engine.start()
    await put(engine, "a")
    assert await keys(engine) == ["a"]
    await engine.stop()


async def test_a_slow_server_is_waited_for_as_long_as_it_goes_on(endpoint: str, prefix: str) -> None:
    content = content_of(MIB)
    async with Proxy(endpoint).running() as proxy:
        engine = engine_at(proxy.url, prefix, SystemEnvironment(), "attempt=10s&patience=60s")
        await engine.start()
        await put(engine, "film", content)
        proxy.pause_s = 0.001
        assert await read(engine, "film") == content
        await engine.stop()


async def test_a_server_that_is_too_slow_ends_calls_in_time_and_is_used_again_when_it_is_quick(
    endpoint: str, prefix: str
) -> None:
    content = content_of(9 * MIB)
    async with Proxy(endpoint).running() as proxy:
        engine = engine_at(proxy.url, prefix, SystemEnvironment(), IMPATIENT)
        await engine.start()
        await put(engine, "film", content)
        proxy.slow(PAUSE_S)
        answered = proxy.answered
        ended = await asyncio.gather(
            timed(put(engine, "a", b"during")), timed(engine.head("film")), timed(read(engine, "film"))
        )
        assert proxy.answered == answered, "they ended when something was answered"
        proxy.slow(0.0, 500_000)
        trickled, _ = await timed(put(engine, "film", content_of(9 * MIB, seed=2)))
        proxy.quick()
        assert await read(engine, "film") == content
        await put(engine, "b", b"after")
        assert set(await keys(engine)) - {"a"} == {"b", "film"}
        await engine.stop()
        await proxy.deserted()
    errors = [error for error, _ in ended]
    assert {(type(error), error.retryable) for error in [*errors, trickled]} == {(Unavailable, True)}
    assert [error.outcome for error in errors] == ["unknown", "not_applied", "not_applied"]


async def test_a_caller_that_reads_slowly_has_little_of_the_blob_on_its_way(endpoint: str, prefix: str) -> None:
    async with Proxy(endpoint).running() as proxy:
        engine = engine_at(proxy.url, prefix, SystemEnvironment())
        await engine.start()
        await put(engine, "film", content_of(40 * MIB))
        proxy.answered = 0
        reading = engine.open("film")
        await anext(reading)
        for _ in range(2_000):
            await asyncio.sleep(0)
        assert proxy.answered < 24 * MIB
        await reading.aclose()
        await engine.stop()


async def test_many_calls_over_the_bound_are_refused_and_none_waits_for_ever(endpoint: str, prefix: str) -> None:
    engine = engine_at(endpoint, prefix, SystemEnvironment(), "connections=2&waiting=3")
    await engine.start()
    made = await asyncio.gather(*(put(engine, f"k{number}") for number in range(12)), return_exceptions=True)
    refused = [each for each in made if isinstance(each, SoundstageError)]
    assert {(error.code, error.retryable, error.outcome) for error in refused} == {("exhausted", True, "not_applied")}
    assert len(await keys(engine)) == 12 - len(refused)
    await engine.stop()


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


async def test_over_tls_the_server_must_be_known(
    endpoint: str, prefix: str, authority: trustme.CA, tmp_path: Path
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "other.pem"))
    async with Proxy(endpoint, context).running() as proxy:
        engine = engine_at(proxy.url, prefix, SystemEnvironment(), f"tls_ca={tmp_path}/ca.pem")
        await engine.start()
        content = content_of(9 * MIB)
        await engine.put("film", in_chunks(content), expect=Expectation(absent=True))
        assert await read(engine, "film") == content
        await engine.stop()
        stranger = engine_at(proxy.url, prefix, SystemEnvironment(), f"tls_ca={tmp_path}/other.pem&{IMPATIENT}")
        error, _ = await timed(stranger.start())
        assert (type(error), error.retryable, "tls_ca" in str(error.hint)) == (Unavailable, False, True)
        await stranger.stop()


async def test_the_check_of_engines_tells_version_capabilities_and_times(endpoint: str, prefix: str) -> None:
    config = EngineConfig(url=f"s3://suite/{prefix}?endpoint={endpoint}&region=us-east-1")
    (trial,) = await try_engine(config, "/nowhere", SystemEnvironment(), rounds=2)
    assert (trial.port, trial.problem, trial.capabilities) == ("blobs", "", ["durable", "shared"])
    assert trial.version
    assert trial.write is not None


async def test_the_check_of_an_engine_that_is_down_tells_the_reason(prefix: str) -> None:
    port = free_port(["127.0.0.1"], random.Random(), set())
    config = EngineConfig(url=f"s3://suite/{prefix}?endpoint=http://127.0.0.1:{port}&region=us-east-1&{IMPATIENT}")
    (trial,) = await try_engine(config, "/nowhere", SystemEnvironment(), rounds=1)
    assert (trial.code, "connect" in trial.problem.lower()) == ("unavailable", True)
