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
