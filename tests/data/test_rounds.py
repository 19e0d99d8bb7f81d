"""One turn in a round over namespaces: what fails is told, and goes no farther."""

from __future__ import annotations

import logging

import pytest

from soundstage.core.errors import NotFound, Unavailable
from soundstage.data.rounds import turn_of
from soundstage.runtime.leases import LeaseLost

log = logging.getLogger("soundstage.tried")


def failing(namespace: str | None, error: Exception) -> None:
    with turn_of(namespace, "it could not be done", log):
        raise error


def test_what_fails_is_told_with_its_namespace(caplog: pytest.LogCaptureFixture) -> None:
    failing("trips", Unavailable("down"))
    (record,) = caplog.records
    assert (record.message, record.__dict__["namespace"], record.__dict__["reason"]) == (
        "it could not be done",
        "trips",
        str(Unavailable("down")),
    )


def test_of_a_namespace_that_is_gone_nothing_is_told(caplog: pytest.LogCaptureFixture) -> None:
    failing("trips", NotFound("there is no such namespace"))
    assert caplog.records == []


def test_what_is_about_no_namespace_is_told_whatever_it_lacks(caplog: pytest.LogCaptureFixture) -> None:
    failing(None, NotFound("there is no such table"))
    assert [record.message for record in caplog.records] == ["it could not be done"]


@pytest.mark.parametrize("error", [LeaseLost("gone"), ValueError("a mistake")])
def test_a_lost_role_and_a_mistake_end_the_round(error: Exception) -> None:
    with pytest.raises(type(error)):
        failing("trips", error)
