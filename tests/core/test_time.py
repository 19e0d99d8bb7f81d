"""Instants and durations: RFC 3339 and units, exactly."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from soundstage.core.errors import InvalidArgument
from soundstage.core.time import INT64_MAX, INT64_MIN, Duration, Instant

instants = st.integers(INT64_MIN, INT64_MAX).map(Instant)


@given(instants)
@example(Instant(INT64_MIN))
@example(Instant(INT64_MAX))
@example(Instant(-1))
@example(Instant(0))
def test_text_gives_the_instant_back(instant: Instant) -> None:
    assert Instant.parse(instant.rfc3339()) == instant


@given(st.datetimes(datetime(1678, 1, 1), datetime(2262, 1, 1)), st.integers(-1439, 1439))
def test_texts_of_the_standard_library_are_read_alike(moment: datetime, offset_minutes: int) -> None:
    zoned = moment.replace(tzinfo=timezone(timedelta(minutes=offset_minutes)))
    expected = (zoned - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    assert Instant.parse(zoned.isoformat()) == expected * 1_000


@given(instants)
def test_texts_are_read_by_the_standard_library_alike(instant: Instant) -> None:
    expected = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=instant.us)
    # Nine digits are cut to six by the standard library, which is flooring.
    assert datetime.fromisoformat(instant.rfc3339()) == expected


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:00.1Z", 100_000_000),
        ("1970-01-01T00:00:00.000000001Z", 1),
        ("1969-12-31T23:59:59.999999999Z", -1),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1969-12-31T22:30:00-01:30", 0),
        ("1970-01-01T00:00:00.5-00:00", 500_000_000),
        ("1970-01-01t00:00:00z", 0),
        ("1972-02-29T00:00:00Z", 68_169_600_000_000_000),
        ("2262-04-11T23:47:16.854775807Z", INT64_MAX),
        ("1677-09-21T00:12:43.145224192Z", INT64_MIN),
    ],
)
def test_a_text_is_read(text: str, ns: int) -> None:
    assert Instant.parse(text) == ns


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (500_000_000, "1970-01-01T00:00:00.500Z"),
        (1_000, "1970-01-01T00:00:00.000001Z"),
        (1, "1970-01-01T00:00:00.000000001Z"),
        (1_500_000, "1970-01-01T00:00:00.001500Z"),
        (-1_000_000, "1969-12-31T23:59:59.999Z"),
    ],
)
def test_the_fewest_exact_digits_are_written(ns: int, text: str) -> None:
    assert str(Instant(ns)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "2026-11-24",
        "2026-11-24T08:15Z",
        "2026-11-24T08:15:00",
        "2026-11-24 08:15:00Z",
        "20261124T081500Z",
        "2026-W48-2T08:15:00Z",
        "2026-02-29T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "0000-01-01T00:00:00Z",
        "2026-11-24T24:00:00Z",
        "2026-11-24T08:60:00Z",
        "2026-11-24T08:15:00.Z",
        "2026-11-24T08:15:00,5Z",
        "2026-11-24T08:15:00.1234567890Z",
        "2026-11-24T08:15:00.1_0Z",
        "2026-11-24T08:15:00.-1Z",
        "2026-11-24T08:15:00.٣Z",
        "٢٠٢٦-11-24T08:15:00Z",
        "2026-11-24T08:15:00+0100",
        "2026-11-24T08:15:00+24:00",
        "2026-11-24T08:15:00 01:00",
        "2026-11-24T08:15:00ZZ",
        "2026-11-24T08:15:00Z\n",
        " 2026-11-24T08:15:00Z",
        "+026-11-24T08:15:00Z",
        "2026-11-24T08:15:00\ud800",
    ],
)
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match="no RFC 3339 instant"):
        Instant.parse(text)


@pytest.mark.parametrize("text", ["2262-04-11T23:47:16.854775808Z", "1677-09-21T00:12:43.145224191Z"])
def test_instants_beyond_int64_are_refused(text: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        Instant.parse(text)
    assert "between 1677 and 2262" in str(caught.value.hint)


def test_a_leap_second_is_refused_with_its_reason() -> None:
    with pytest.raises(InvalidArgument) as caught:
        Instant.parse("2016-12-31T23:59:60Z")
    assert "leap second" in str(caught.value.hint)


def test_a_long_text_is_not_repeated_whole() -> None:
    with pytest.raises(InvalidArgument) as caught:
        Instant.parse("x" * 10_000)
    assert len(caught.value.detail) < 100


@pytest.mark.parametrize(("ns", "us"), [(0, 0), (1_999, 1), (-1, -1), (-1_000, -1)])
def test_microseconds_are_floored(ns: int, us: int) -> None:
    assert Instant(ns).us == us


def test_microseconds_become_an_instant() -> None:
    assert Instant.from_us(3) == 3_000


def test_an_instant_shows_itself_as_the_integer() -> None:
    assert repr(Instant(5)) == "Instant(5)"


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("0s", 0),
        ("1ns", 1),
        ("2us", 2_000),
        ("250ms", 250_000_000),
        ("10s", 10_000_000_000),
        ("15m", 900_000_000_000),
        ("36h", 129_600_000_000_000),
        ("16d", 1_382_400_000_000_000),
        ("2w", 1_209_600_000_000_000),
        ("1.5h", 5_400_000_000_000),
        ("0.000000001s", 1),
        ("-5s", -5_000_000_000),
        ("9223372036854775807ns", INT64_MAX),
    ],
)
def test_a_duration_is_read(text: str, ns: int) -> None:
    assert Duration.parse(text) == ns


@pytest.mark.parametrize("text", ["", "5", "s", "5 s", "5S", "1h30m", "1e3s", ".5s", "5.s", "+5s", "5s\n", "٣s"])
def test_other_texts_are_no_duration(text: str) -> None:
    with pytest.raises(InvalidArgument):
        Duration.parse(text)


def test_a_duration_finer_than_a_nanosecond_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="finer"):
        Duration.parse("0.5ns")


@pytest.mark.parametrize("text", ["9223372036854775808ns", "106752d", "9999999999999999999w"])
def test_a_duration_beyond_int64_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match="beyond"):
        Duration.parse(text)


def test_an_unknown_unit_is_told_the_known_ones() -> None:
    with pytest.raises(InvalidArgument) as caught:
        Duration.parse("5min")
    assert "ns us ms s m h d w" in str(caught.value.hint)


@given(st.integers(-INT64_MAX, INT64_MAX).map(Duration))
def test_text_gives_the_duration_back(duration: Duration) -> None:
    assert Duration.parse(str(duration)) == duration


@pytest.mark.parametrize(
    ("text", "written"),
    [("1000ms", "1s"), ("36h", "36h"), ("48h", "2d"), ("2w", "14d"), ("0ns", "0s"), ("-60s", "-1m")],
)
def test_a_duration_is_written_in_its_largest_exact_unit(text: str, written: str) -> None:
    assert str(Duration.parse(text)) == written


def test_a_duration_gives_seconds_for_sleeping() -> None:
    assert Duration.parse("250ms").seconds == 0.25


def test_a_duration_gives_floored_microseconds() -> None:
    assert Duration(1_999).us == 1


def test_a_duration_shows_itself_as_the_integer() -> None:
    assert repr(Duration(5)) == "Duration(5)"
