"""A real broker that wants TLS, certificates and passwords: who is let in, and what everybody else is told."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TypeAlias

import pytest
from tests.conformance.kafka.conftest import PASSWORD, USER, link_to
from tests.conformance.passwords import let_in_by_variable

from soundstage.core.environment import SystemEnvironment
from soundstage.core.errors import Forbidden, SoundstageError, Unauthenticated, Unavailable
from soundstage.engines.log.kafka import KafkaLog, Link
from soundstage.engines.log.kafka.driver import admin
from soundstage.engines.log.port import Appending, Entry, Position, TopicSpec
from soundstage.runtime.config import EngineConfig
from soundstage.servers import Cluster

NAME = "guarded/events"
MECHANISMS = ("plain", "scram_sha_256", "scram_sha_512")

START_S, AT_ONCE_S = 240.0, 60.0
"""How long a start may wait, and how long it takes at most where that is no use: on any machine, and much less."""

pytestmark = pytest.mark.slow

Secret: TypeAlias = Callable[[str], str]
Opened: TypeAlias = Callable[..., Awaitable[KafkaLog]]


@pytest.fixture
def secret(tmp_path: Path) -> Secret:
    """A file that has a password."""

    def secret(password: str) -> str:
        (tmp_path / password).write_text(f"{password}\n")
        return str(tmp_path / password)

    return secret


@pytest.fixture
async def opened(kafka: Cluster, certificates: Path, space: str, secret: Secret) -> AsyncIterator[Opened]:
    """Starts an engine at the guarded port, by default as one that is let in; it stops after the test."""
    engines: list[KafkaLog] = []

    async def opened(
        more: str = "",
        user: str | None = USER,
        password: str = PASSWORD,
        ca: str | None = "ca",
        client: str | None = "client",
        host: str = "127.0.0.1",
        start_s: float = START_S,
    ) -> KafkaLog:
        query = f"start_s={start_s}&{more}"
        query += "" if user is None else f"&user={user}"
        query += "" if ca is None else f"&tls_ca={certificates}/{ca}.pem"
        if client is not None:
            query += f"&tls_cert={certificates}/{client}.pem&tls_key={certificates}/{client}.key"
        link = link_to(f"kafka://{host}:{kafka.nodes[0].ports['login']}", query, secret(password))
        engine = KafkaLog(link, SystemEnvironment(), space)
        await engine.start()
        engines.append(engine)
        return engine

    yield opened
    for engine in engines:
        await engine.stop()


@pytest.fixture
async def log(link: Link, space: str) -> AsyncIterator[KafkaLog]:
    """One that nobody asks who it is."""
    engine = KafkaLog(link, SystemEnvironment(), space)
    await engine.start()
    await engine.create_topic(TopicSpec(name=NAME))
    yield engine
    await engine.stop()


async def refusal(call: Awaitable[object]) -> SoundstageError:
    """What a call ends with, which does not wait for what never comes."""
    began = time.monotonic()
    with pytest.raises(SoundstageError) as refused:
        await call
    assert time.monotonic() - began < AT_ONCE_S
    return refused.value


async def changed(link: Link, user: str, password: str | None) -> None:
    """The cluster has it that `user` has this password, or none; the broker hears of it a moment later."""
    mechanism = admin.ScramMechanism.SCRAM_SHA_512
    if password is None:
        change = admin.UserScramCredentialDeletion(user, mechanism)
    else:
        info = admin.ScramCredentialInfo(mechanism, 4_096)
        change = admin.UserScramCredentialUpsertion(user, info, password.encode())
    (done,) = link.admin.alter_user_scram_credentials([change]).values()
    await asyncio.wrap_future(done)


async def let_in(opened: Opened, user: str, more: str = "") -> KafkaLog:
    """An engine as `user`, once the broker knows it."""
    async with asyncio.timeout(AT_ONCE_S):
        while True:
            try:
                return await opened(more, user=user)
            except Unauthenticated:
                await asyncio.sleep(0.05)


async def shut_out(opened: Opened, user: str) -> None:
    """The broker does not know `user` any more."""
    async with asyncio.timeout(AT_ONCE_S):
        while True:
            try:
                await opened(user=user)
            except Unauthenticated:
                return


async def may_use(link: Link, user: str, log: KafkaLog) -> None:
    """`user` may do everything with topics."""
    place, way, all_of_it = admin.ResourceType.TOPIC, admin.ResourcePatternType.LITERAL, admin.AclOperation.ALL
    right = admin.AclBinding(place, "*", way, f"User:{user}", "*", all_of_it, admin.AclPermissionType.ALLOW)
    (granted,) = link.admin.create_acls([right]).values()
    await asyncio.wrap_future(granted)
    async with asyncio.timeout(AT_ONCE_S):
        while True:
            try:
                await log.bounds(NAME)
            except Forbidden:
                await asyncio.sleep(0.05)
            else:
                return


async def test_who_is_let_in_does_all_there_is(opened: Opened) -> None:
    log = await opened()
    await log.create_topic(TopicSpec(name=NAME))
    await log.append(NAME, [Entry(b"alone")])
    await log.append_together([Appending(topic=NAME, entries=[Entry(b"together")])])
    assert [each.value for each in (await log.read(NAME, 0, 0)).entries] == [b"alone", b"together"]
    share = await log.join("guarded/readers", "one", [NAME], 6_000_000)
    assert share.partitions == {NAME: [0]}
    assert await log.committed("guarded/readers", NAME) == {}
    assert await log.wait([Position(NAME, 0, 0)]) == [Position(NAME, 0, 0)]


@pytest.mark.parametrize("mechanism", MECHANISMS)
async def test_a_password_lets_in_by_every_mechanism(opened: Opened, log: KafkaLog, mechanism: str) -> None:
    guarded = await opened(f"sasl={mechanism}")
    spots = await guarded.append(NAME, [Entry(b"a")])
    assert [each.offset for each in spots] == [0]


@pytest.mark.parametrize("mechanism", MECHANISMS)
@pytest.mark.parametrize(("user", "password"), [(USER, "wrong"), ("nobody", PASSWORD)])
async def test_a_wrong_password_or_user_is_told_at_once(
    opened: Opened, mechanism: str, user: str, password: str
) -> None:
    error = await refusal(opened(f"sasl={mechanism}", user=user, password=password))
    assert (type(error), error.retryable, error.outcome) == (Unauthenticated, False, "not_applied")
    assert "password_file" in str(error.hint)


@pytest.mark.parametrize("mechanism", MECHANISMS)
async def test_a_password_in_a_variable_lets_in_and_a_wrong_one_does_not(
    kafka: Cluster, certificates: Path, space: str, monkeypatch: pytest.MonkeyPatch, mechanism: str
) -> None:
    files = {"tls_ca": "ca.pem", "tls_cert": "client.pem", "tls_key": "client.key"}
    options = {name: str(certificates / file) for name, file in files.items()}
    url = f"kafka://{USER}@127.0.0.1:{kafka.nodes[0].ports['login']}?sasl={mechanism}&space={space}&start_s={START_S}"
    await let_in_by_variable(monkeypatch, EngineConfig(url=url, options=options), PASSWORD)


@pytest.mark.parametrize(("ca", "host"), [("stranger-ca", "127.0.0.1"), ("ca", "localhost")])
async def test_a_broker_that_cannot_be_trusted_is_told_at_once(opened: Opened, ca: str, host: str) -> None:
    error = await refusal(opened(ca=ca, host=host))
    assert (type(error), error.retryable, error.outcome) == (Unavailable, False, "not_applied")
    assert "tls_ca" in str(error.hint)


async def test_a_certificate_may_be_one_for_another_host_where_that_is_said(opened: Opened, log: KafkaLog) -> None:
    guarded = await opened("tls_names=false", host="localhost")
    assert await guarded.topics() == await log.topics()


@pytest.mark.parametrize("client", [None, "stranger-client"])
async def test_a_client_without_a_good_certificate_is_told_at_once(opened: Opened, client: str | None) -> None:
    error = await refusal(opened(client=client))
    assert (type(error), error.retryable, error.outcome) == (Unauthenticated, False, "not_applied")
    assert "tls_cert" in str(error.hint)


@pytest.mark.parametrize("user", [None, USER])
async def test_who_speaks_without_tls_is_told_when_the_start_gives_up(opened: Opened, user: str | None) -> None:
    error = await refusal(opened(user=user, ca=None, client=None, start_s=1))
    assert (type(error), error.retryable, error.outcome) == (Unavailable, True, "not_applied")
    assert "how to speak" in str(error.hint)


async def test_who_has_no_rights_is_forbidden_to_do_anything(opened: Opened, log: KafkaLog, link: Link) -> None:
    await changed(link, "carol", PASSWORD)
    guarded = await let_in(opened, "carol")
    errors = [
        await refusal(guarded.append(NAME, [Entry(b"a")])),
        await refusal(guarded.read(NAME, 0, 0)),
        await refusal(guarded.create_topic(TopicSpec(name="guarded/others"))),
        await refusal(guarded.drop_topic(NAME)),
    ]
    assert [(type(each), each.retryable) for each in errors] == [(Forbidden, False)] * 4
    # Of appends the driver may say only that it sends none, and not which it has sent.
    assert [each.outcome for each in errors[1:]] == ["not_applied"] * 3
    assert (await log.bounds(NAME)) == [(0, 0)]


async def test_a_login_that_is_withdrawn_later_is_told_to_who_waits(opened: Opened, log: KafkaLog, link: Link) -> None:
    await changed(link, "dave", PASSWORD)
    await log.append(NAME, [Entry(b"a")])
    guarded = await let_in(opened, "dave", "patience_s=3")
    await may_use(link, "dave", guarded)
    await changed(link, "dave", None)
    await shut_out(opened, "dave")
    # What reads has connections of its own, which are made now.
    error = await refusal(guarded.read(NAME, 0, 0))
    assert (type(error), error.retryable, error.outcome) == (Unauthenticated, False, "not_applied")
