"""A feed on the command line: printed as it comes, until Ctrl-C."""

from __future__ import annotations

import json
import signal

import pytest
from tests.e2e.processes import Place
from tests.e2e.web import ask

pytestmark = pytest.mark.slow


def test_messages_are_printed_as_they_come_and_ctrl_c_ends_with_0(place: Place) -> None:
    url = place.start("up", "--port", "0").ready()
    watching = place.start("namespaces", "watch", "--cursor", "0", "--url", url, "--output", "jsonl")
    seen: list[str] = []
    for name in ("first", "second"):
        made = ask(f"{url}/v1/namespaces/put", {"namespace": {"name": name, "abstraction": "kv"}})
        assert made.status == 200
        seen.append(json.dumps(json.loads(watching.line("{"))))
    assert ["first" in seen[0], "second" in seen[1]] == [True, True]
    watching.signal(signal.SIGINT)
    ended = watching.ended()
    assert (ended.code, ended.err) == (0, "")


def test_an_id_of_time_series_is_followed_live_by_its_tail(place: Place) -> None:
    url = place.start("up", "--port", "0").ready()
    made = ask(f"{url}/v1/namespaces/put", {"namespace": {"name": "trips", "abstraction": "timeseries"}})
    assert made.status == 200

    def write(bike: str, event_id: str, time: str) -> None:
        items = [{"event_item_key": "station", "event_item_value": "TmF0aW9u"}]
        event = {"time_series_id": bike, "event_time": time, "event_id": event_id, "event_items": items}
        written = ask(f"{url}/v1/timeseries/write_event_records_sync", {"namespace": "trips", "events": [event]})
        assert written.status == 200

    write("bike-7", "before", "2026-10-24T08:00:00Z")
    follow = ("timeseries", "tail", "--namespace", "trips", "--time-series-id", "bike-7")
    tailing = place.start(*follow, "--since", "2026-10-24T00:00:00Z", "--url", url, "--output", "jsonl")
    assert "before" in tailing.line("{")
    write("bike-8", "of another", "2026-10-24T09:00:00Z")
    write("bike-7", "after", "2026-10-24T10:00:00Z")
    event = json.loads(tailing.line("{"))["event"]
    assert (event["event_id"], event["event_items"][0]["event_item_value"]) == ("after", "Nation")
    tailing.signal(signal.SIGINT)
    ended = tailing.ended()
    assert (ended.code, ended.err) == (0, "")
