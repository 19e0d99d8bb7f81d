from __future__ import annotations

import asyncio
import io
import json
import sys
from base64 import b64encode
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
from tests.surface.cli.conftest import Cli

from soundstage.core.time import Instant
from soundstage.data.timeseries.service import TimeSeriesService
from soundstage.runtime.stage import Stage
from soundstage.surface.cli.calls import joined
from soundstage.surface.cli.tables import Listing

STAGE = '[namespaces.profiles]\nabstraction = "kv"\n'


@pytest.fixture(autouse=True)
def stage_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "stage.toml").write_text(STAGE)
    monkeypatch.setenv("SOUNDSTAGE_STAGE", "stage.toml")


@pytest.fixture
def filled(cli: Cli) -> None:
    """Five items in one record."""
    items = [f"--item=k{number}=v{number}" for number in range(5)]
    assert cli("kv", "put-items", "--namespace", "profiles", "--id", "u1", *items).code == 0


def read(cli: Cli, *flags: str) -> list[str]:
    reply = cli("kv", "get-items", "--namespace", "profiles", "--id", "u1", *flags).json
    return [item["key"] for item in reply["items"]]


def test_what_one_command_stores_the_next_reads(cli: Cli) -> None:
    put = cli("kv", "put-items", "--namespace", "profiles", "--id", "u1", "--item", "name=Ada")
    assert put.code == 0
    assert set(put.json["idempotency_token"]) == {"generation_time", "token"}
    assert read(cli) == ["name"]


@pytest.mark.parametrize(
    ("typed", "printed"),
    [
        ("plain", "plain"),
        ("text:hex:00", "text:hex:00"),
        ("hex:00ff", "hex:00ff"),
        ("base64:AP8=", "hex:00ff"),
        ("", ""),
    ],
)
def test_bytes_are_printed_as_they_can_be_typed(cli: Cli, typed: str, printed: str) -> None:
    cli("kv", "put-items", "--namespace", "profiles", "--id", "u1", "--item", f"key={typed}")
    items = cli("kv", "get-items", "--namespace", "profiles", "--id", "u1").json["items"]
    assert [item["value"] for item in items] == [printed]


def test_bytes_may_come_from_a_file(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "value").write_bytes(b"\x00\x01")
    cli("kv", "put-items", "--namespace", "profiles", "--id", "u1", "--item", "key=@value")
    assert cli("kv", "get-items", "--namespace", "profiles", "--id", "u1").json["items"][0]["value"] == "hex:0001"


def test_the_message_may_come_from_a_file_with_flags_over_it(cli: Cli, tmp_path: Path) -> None:
    message = {"namespace": "profiles", "id": "other", "items": [{"key": "YQ==", "value": "Yg=="}]}
    (tmp_path / "message.json").write_text(json.dumps(message))
    assert cli("kv", "put-items", "--input", "message.json", "--id", "u1").code == 0
    assert read(cli) == ["a"]


def test_the_message_may_come_from_standard_input(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    message = b'{"namespace": "profiles", "id": "u1", "items": [{"key": "YQ==", "value": "Yg=="}]}'
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(message)))
    assert cli("kv", "put-items", "--input", "-").code == 0
    assert read(cli) == ["a"]


@pytest.mark.usefixtures("filled")
def test_one_page_is_printed_with_the_token_of_the_next(cli: Cli) -> None:
    page = cli("kv", "scan-items", "--namespace", "profiles", "--selection.page-size-bytes", "1").json
    assert len(page["records"][0]["items"]) < 5
    rest = cli(
        "kv",
        "scan-items",
        "--namespace",
        "profiles",
        "--selection.page-size-bytes",
        "1",
        "--page-token",
        page["next_page_token"],
    )
    assert rest.code == 0


@pytest.mark.usefixtures("filled")
def test_all_pages_are_one_reply(cli: Cli) -> None:
    flags = ("--namespace", "profiles", "--id", "u1", "--selection.page-size-bytes", "1")
    assert "next_page_token" in cli("kv", "get-items", *flags).json
    whole = cli("kv", "get-items", *flags, "--all-pages").json
    assert [item["key"] for item in whole["items"]] == ["k0", "k1", "k2", "k3", "k4"]
    assert set(whole) == {"items", "record_token"}


@pytest.mark.usefixtures("filled")
def test_all_pages_as_lines_are_printed_page_by_page(cli: Cli) -> None:
    flags = ("--namespace", "profiles", "--id", "u1", "--selection.page-size-bytes", "1")
    lines = cli("kv", "get-items", *flags, "--all-pages", "--output", "jsonl").lines
    assert [line["key"] for line in lines if "key" in line] == ["k0", "k1", "k2", "k3", "k4"]
    assert not any("next_page_token" in line for line in lines)


def test_all_pages_are_there_where_lists_stand_beside_what_they_are_pages_of(cli: Cli) -> None:
    put = cli("namespaces", "put", "--namespace.name", "trips", "--namespace.abstraction", "timeseries")
    assert put.code == 0
    item = {"event_item_key": "k", "event_item_value": "dg=="}
    event = {"time_series_id": "bike", "event_time": "2026-10-24T09:00:00Z", "event_items": [item]}
    events = [event | {"event_id": id} for id in "abc"]
    written = cli("timeseries", "write-event-records-sync", "--namespace", "trips", "--events", json.dumps(events))
    assert written.code == 0
    day = json.dumps({"start": "2026-10-24T00:00:00Z", "end": "2026-10-25T00:00:00Z"})
    flags = ("--namespace", "trips", "--time-series-id", "bike", "--time-interval", day, "--page-size", "1")
    whole = cli("timeseries", "read-event-records", *flags, "--all-pages").json
    assert [event["event_id"] for event in whole["records"]] == ["a", "b", "c"]
    assert set(whole) == {"records", "response_context"}
    (partitions,) = cli("timeseries", "partition-histogram", "--namespace", "trips").json["slices"]
    assert (partitions["partitions"], partitions["rows"]["max"]) == (1, 3)
    assert cli("timeseries", "list-proposals", "--namespace", "trips").json["proposals"] == []
    refused = cli("timeseries", "apply-proposal", "--namespace", "trips", "--number", "1", "--why", "as measured")
    assert (refused.code, "there is no proposal 1" in refused.err) == (1, True)


@pytest.mark.slow
def test_events_are_searched_for_and_counted(cli: Cli) -> None:
    stage = 'data = "data"\n[engines.found]\nurl = "tantivy:found"\n[namespaces.trips]\nabstraction = "timeseries"\n'
    index = '[namespaces.trips.config.index]\nengine = "found"\nfields = { city = "keyword" }\n'
    Path("stage.toml").write_text(stage + index)
    flags = ("--namespace", "trips")
    events = [
        {
            "time_series_id": "bike",
            "event_time": "2026-10-24T09:00:00Z",
            "event_id": city,
            "event_items": [{"event_item_key": "city", "event_item_value": b64encode(city.encode()).decode()}],
        }
        for city in ("Nation", "Ternes", "Opera")
    ]
    assert cli("timeseries", "write-event-records-sync", *flags, "--events", json.dumps(events)).code == 0
    asyncio.run(indexed("trips"))
    day = json.dumps({"start": "2026-10-24T00:00:00Z", "end": "2026-10-25T00:00:00Z"})
    query = json.dumps({"equals": {"event_item_key": "city", "event_item_value": "TmF0aW9u"}})
    asked = (*flags, "--time-interval", day, "--search-query", query)
    found = cli("timeseries", "search-event-records", *asked).json
    assert [event["event_id"] for event in found["records"]] == ["Nation"]
    counting = json.dumps({"top_terms": {"event_item_key": "city"}})
    counted = cli("timeseries", "aggregate-event-records", *asked, "--aggregation-query", counting).json
    assert (counted["count"], counted["buckets"]) == (1, [{"count": 1, "event_item_value": "Nation"}])
    assert cli("timeseries", "rebuild-index", *flags).json == {"number": 1}


async def indexed(name: str) -> None:
    """The index of the namespace is whole."""
    async with Stage.open("stage.toml", background=False) as stage:
        service = await stage.systems.started("timeseries")
        assert isinstance(service, TimeSeriesService)
        while await service.tend_index(name, lambda: None):
            pass


def test_what_has_no_pages_takes_no_such_flag(cli: Cli) -> None:
    ended = cli("kv", "put-items", "--all-pages")
    assert ended.code == 2
    assert "--all-pages" in ended.err


@pytest.mark.usefixtures("filled")
def test_an_operation_that_fails_ends_with_1_and_its_problem(cli: Cli) -> None:
    ended = cli("kv", "get-items", "--namespace", "profile", "--id", "u1", "--output", "json")
    assert (ended.code, ended.out) == (1, "")
    assert ended.problem["code"] == "not_found"
    assert ended.problem["hint"] == "did you mean 'profiles'?"


@pytest.mark.parametrize(
    ("flags", "field"),
    [
        (["--id", "u1"], "items"),
        (["--item", "a=b"], "id"),
        (["--id", "u1", "--item", "a"], "items"),
        (["--id", "u1", "--item", "a=hex:0"], "items"),
        (["--id", "u1", "--items", "[{}]"], "items[0].key"),
        (["--id", "u1", "--item", "a=b", "--condition", "{"], "condition"),
        (["--id", "u1", "--item", "a=b", "--idempotency-token", '{"token": 1}'], "idempotency_token.token"),
    ],
)
def test_a_message_that_is_wrong_ends_with_2_and_names_the_field(cli: Cli, flags: list[str], field: str) -> None:
    ended = cli("kv", "put-items", "--namespace", "profiles", *flags, "--output", "json")
    assert ended.code == 2
    assert ended.problem["field"] == field


@pytest.mark.usefixtures("filled")
def test_a_request_that_the_stage_refuses_ends_with_1(cli: Cli) -> None:
    ended = cli("kv", "get-items", "--namespace", "profiles", "--id", "", "--output", "json")
    assert ended.code == 1
    assert (ended.problem["code"], ended.problem["field"]) == ("invalid_argument", "id")


def test_pages_are_joined_in_order_and_what_stands_beside_the_first_wins() -> None:
    pages = [Listing([1, 2], "items", {"first": "a", "both": 1}), Listing([3], "items", {"both": 2, "last": "b"})]
    whole = joined(pages)
    assert (whole.elements, whole.name) == ([1, 2, 3], "items")
    assert whole.beside == {"first": "a", "both": 1, "last": "b"}


@pytest.mark.usefixtures("filled")
def test_a_feed_is_printed_message_by_message(cli: Cli) -> None:
    watched = cli("namespaces", "watch", "--cursor", "0", "--timeout", "50ms")
    lines = [json.loads(line) for line in watched.out.splitlines()]
    assert [(line["cursor"], line["change"]["namespace"]["name"]) for line in lines] == [("1", "profiles")]
    assert watched.code == 1
    assert "deadline" in watched.err or "time to follow" in watched.err


@pytest.mark.usefixtures("filled")
def test_a_feed_for_people_is_a_block_of_fields_per_message(cli: Cli) -> None:
    watched = cli("namespaces", "watch", "--cursor", "0", "--timeout", "50ms", "--output", "table")
    assert any(line.split() == ["change.action", "created"] for line in watched.out.splitlines())


@pytest.mark.usefixtures("filled")
def test_a_feed_that_is_refused_is_told(cli: Cli) -> None:
    watched = cli("namespaces", "watch", "--cursor", "77")
    assert (watched.code, "cursor" in watched.err) == (1, True)


def test_ctrl_c_is_the_way_to_end_a_feed(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(coroutine: Coroutine[Any, Any, Any]) -> None:
        coroutine.close()
        raise KeyboardInterrupt

    monkeypatch.setattr(asyncio, "run", interrupted)
    assert cli("namespaces", "watch").code == 0


@pytest.mark.parametrize(
    "command",
    [
        ("kv", "get-items", "--namespace", "profiles", "--id", "u1"),
        ("namespaces", "list"),
        ("namespaces", "watch"),
        ("namespaces", "export", "--name", "profiles"),
        ("tokens", "list"),
        ("jobs", "list"),
        ("backups", "list", "--data", "typo"),
        ("files", "show", "01a217f9-a4fd-7a4f-b236-aa33a9622cb6"),
        ("config", "check"),
        ("config", "show"),
        ("engines", "list"),
        ("kv", "get-items", "--help"),
    ],
    ids=" ".join,
)
def test_who_reads_makes_no_data_folder(cli: Cli, tmp_path: Path, command: tuple[str, ...]) -> None:
    before = sorted(path.name for path in tmp_path.iterdir())
    ended = cli(*command)
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    if command[0] not in ("config", "engines") and "--help" not in command:
        folder = "typo" if "typo" in command else "./soundstage-data"
        hint = "name the folder that the stage was started with, by --data, or its stage file, by --stage"
        told = f"there is no folder {folder} ({hint})"
        assert (ended.code, told in ended.err) == (2, True)


def test_who_writes_makes_the_data_folder(cli: Cli, tmp_path: Path) -> None:
    ended = cli("kv", "put-items", "--namespace", "profiles", "--id", "u1", "--item", "a=b")
    assert (ended.code, (tmp_path / "soundstage-data").is_dir()) == (0, True)


def test_one_ttl_is_for_every_item_without_one(cli: Cli) -> None:
    own = '{"key": "b3du", "value": "dg==", "ttl": "2h"}'
    flags = ("--namespace", "profiles", "--id", "u1")
    assert cli("kv", "put-items", *flags, "--item", "a=1", "--item", "b=2", "--item", own, "--ttl", "1h").code == 0
    items = cli("kv", "get-items", *flags).json["items"]
    lives = {
        item["key"]: Instant.parse(item["metadata"]["expires_at"])
        - Instant.parse(item["metadata"]["token"]["generation_time"])
        for item in items
    }
    hour = 3_600_000_000_000
    assert lives == {"a": hour, "b": hour, "own": 2 * hour}


def test_a_ttl_without_items_is_refused(cli: Cli) -> None:
    ended = cli("kv", "put-items", "--namespace", "profiles", "--id", "u1", "--ttl", "1h")
    assert (ended.code, "--ttl has nothing to hold for (give items too)" in ended.err) == (2, True)


def test_a_ttl_that_is_none_names_its_flag(cli: Cli) -> None:
    ended = cli("kv", "put-items", "--namespace", "profiles", "--id", "u1", "--item", "a=b", "--ttl", "soon")
    assert (ended.code, "ttl" in ended.err) == (2, True)
