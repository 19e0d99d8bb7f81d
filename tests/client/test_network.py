"""What failures of the network mean to the caller."""

from __future__ import annotations

import ssl

import httpx2
import pytest

from soundstage.client.network import Unreachable, foreign_answer, late, network_error
from soundstage.core.errors import DeadlineExceeded, Unavailable
from soundstage.core.operation import Operation
from soundstage.data.kv.api import KeyValueCalls

GET: Operation[..., object] = vars(KeyValueCalls)["get_items"]
URL = "http://stage.test"


@pytest.mark.parametrize(
    "error",
    [httpx2.ConnectError("refused"), httpx2.ConnectTimeout(""), httpx2.PoolTimeout(""), httpx2.UnsupportedProtocol("")],
)
def test_what_was_never_sent_was_not_applied_and_may_be_sent_again(error: httpx2.HTTPError) -> None:
    told = network_error(error, URL, GET, repeatable=False)
    assert isinstance(told, Unreachable)
    assert (told.outcome, told.retryable) == ("not_applied", True)


@pytest.mark.parametrize("repeatable", [True, False])
@pytest.mark.parametrize(
    "error",
    [
        httpx2.ReadError("reset"),
        httpx2.WriteError("broken pipe"),
        httpx2.RemoteProtocolError("gone"),
        ssl.SSLError("certificate required"),
    ],
)
def test_what_broke_on_the_way_may_have_been_applied(error: httpx2.HTTPError | OSError, repeatable: bool) -> None:
    told = network_error(error, URL, GET, repeatable)
    assert isinstance(told, Unreachable)
    assert (told.outcome, told.retryable) == ("unknown", repeatable)


@pytest.mark.parametrize("error", [httpx2.ReadTimeout(""), httpx2.WriteTimeout("")])
def test_a_time_out_after_sending_is_a_deadline(error: httpx2.HTTPError) -> None:
    told = network_error(error, URL, GET, repeatable=True)
    assert isinstance(told, DeadlineExceeded)
    assert told.outcome == "unknown"


def test_the_message_names_address_call_and_reason() -> None:
    told = network_error(httpx2.ConnectError("refused"), URL, GET, repeatable=True)
    assert str(told) == "no stage could be reached at http://stage.test for kv/get_items: refused"


def test_an_error_without_words_is_named_by_its_class() -> None:
    assert str(network_error(httpx2.ReadError(""), URL, GET, True)).endswith("(ReadError)")


@pytest.mark.parametrize("repeatable", [True, False])
def test_late_says_whether_repeating_is_safe(repeatable: bool) -> None:
    told = late(GET, repeatable)
    assert told.retryable is repeatable
    assert ("safe" in (told.hint or "")) is repeatable


@pytest.mark.parametrize(("status", "retryable"), [(502, True), (503, True), (504, True), (404, False), (500, False)])
def test_only_a_gateway_is_worth_another_try(status: int, retryable: bool) -> None:
    assert foreign_answer(status, "text/html").retryable is retryable


def test_an_answer_without_a_media_type_is_told_so() -> None:
    assert "no media type" in str(foreign_answer(204, ""))


def test_unreachable_is_caught_as_unavailable() -> None:
    assert issubclass(Unreachable, Unavailable)
    assert Unreachable("x").problem()["code"] == "unavailable"
