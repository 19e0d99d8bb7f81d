"""What a cluster is said to be like to somebody who has waited for it in vain."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest

from soundstage.core.errors import InvalidArgument, Unauthenticated, Unavailable
from soundstage.engines.log.kafka.driver import KafkaError, KafkaException, code_of
from soundstage.engines.log.kafka.link import Link
from soundstage.engines.log.kafka.options import parse_address

DOWN = ("_ALL_BROKERS_DOWN", "1/1 brokers are down")
REFUSED = ("_TRANSPORT", "Connect to ipv4#127.0.0.1:9092 failed: Connection refused")
LOGIN = ("_AUTHENTICATION", "SASL authentication error: Authentication failed")
STRANGER = ("_SSL", "SSL handshake failed: certificate verify failed")


def link() -> Link:
    return Link(parse_address("unit", urlsplit("kafka://127.0.0.1?start_s=0.5"), {}, None))


class Cluster:
    """What the driver calls a client: it says why it has no answer, each time that it is asked."""

    def __init__(self, *said: tuple[str, str]) -> None:
        self._said = list(said)
        self.asked: int = 0

    def __call__(self, settings: dict[str, Any]) -> Cluster:
        self._hear = settings["error_cb"]
        return self

    def list_topics(self, timeout: float) -> None:
        self.asked += 1
        raise KafkaException(KafkaError(code_of("_TIMED_OUT")))

    def poll(self, _timeout_s: float) -> None:
        while self._said:
            code, text = self._said.pop(0)
            self._hear(KafkaError(code_of(code), text))


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A link to a cluster that says so much and nothing else, and the cluster."""

    def said(*words: tuple[str, str]) -> tuple[Link, Cluster]:
        cluster = Cluster(*words)
        monkeypatch.setattr("soundstage.engines.log.kafka.link.admin", SimpleNamespace(AdminClient=cluster))
        return link(), cluster

    return said


async def test_silence_is_told_with_what_the_driver_said_last(said: Any) -> None:
    asked, cluster = said(LOGIN, REFUSED, DOWN)
    with pytest.raises(Unavailable) as refused:
        await asked.take()
    assert "Connection refused" in str(refused.value)
    assert (refused.value.retryable, refused.value.outcome, cluster.asked) == (True, "not_applied", 2)


async def test_who_is_not_let_in_does_not_wait(said: Any) -> None:
    asked, cluster = said(LOGIN, DOWN)
    with pytest.raises(Unauthenticated) as refused:
        await asked.take()
    assert (refused.value.outcome, cluster.asked) == ("not_applied", 1)


async def test_a_stranger_is_not_waited_for(said: Any) -> None:
    asked, cluster = said(STRANGER)
    with pytest.raises(Unavailable) as refused:
        await asked.take()
    assert (refused.value.retryable, cluster.asked) == (False, 1)


async def test_a_start_that_failed_is_begun_anew(said: Any) -> None:
    asked, _ = said(LOGIN)
    with pytest.raises(Unauthenticated):
        await asked.take()
    with pytest.raises(Unavailable) as refused:
        await asked.take()
    assert refused.value.retryable


def test_nothing_is_said_of_a_cluster_of_which_nothing_was_heard() -> None:
    found = link().silence()
    assert (type(found), found.outcome, link().trouble, link().refused("unknown")) == (
        Unavailable,
        "unknown",
        None,
        None,
    )


async def test_settings_that_the_driver_refuses_are_told_as_such(tmp_path: Any) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    asked = Link(parse_address("unit", urlsplit(f"kafka://127.0.0.1?tls_ca={tmp_path}/ca.pem"), {}, None))
    with pytest.raises(InvalidArgument) as refused:
        await asked.take()
    assert "TLS files" in str(refused.value.hint)


def test_the_driver_is_told_to_give_up_no_append_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("soundstage.engines.log.kafka.link.root", SimpleNamespace(Producer=dict[str, Any]))
    settings = link().producer()
    assert [settings[each] for each in ("enable.idempotence", "acks", "delivery.timeout.ms")] == [True, "all", 0]
