"""Sets of mutations on a real stage: accepted over HTTP, applied by a role, there after the process was killed."""

from __future__ import annotations

import base64
import threading
from typing import Any

import pytest
from tests.e2e.conftest import Cli, Start
from tests.e2e.processes import Running, until
from tests.e2e.web import ask

pytestmark = pytest.mark.slow

NAMES = ("one", "two")


def make(url: str, name: str) -> None:
    spec = {"name": name, "abstraction": "kv"}
    assert ask(f"{url}/v1/namespaces/put", {"namespace": spec}).status == 200


def put(namespace: str, id: str, value: str) -> dict[str, Any]:
    encoded = base64.b64encode(value.encode()).decode()
    return {"put": {"namespace": namespace, "id": id, "items": [{"key": "aw==", "value": encoded}]}}


def status(url: str, mutation_id: str) -> dict[str, Any]:
    return ask(f"{url}/v1/writeahead/status", {"mutation_id": mutation_id}).json


def value(url: str, namespace: str, id: str) -> str | None:
    items = ask(f"{url}/v1/kv/get_items", {"namespace": namespace, "id": id}).json["items"]
    return base64.b64decode(items[0]["value"]).decode() if items else None


@pytest.mark.parametrize(
    "workers", [(), ("--workers", "http=2", "--workers", "kv-mutations=1")], ids=["one", "workers"]
)
def test_a_set_is_applied_by_whoever_has_the_role(start: Start, workers: tuple[str, ...]) -> None:
    url = start("up", "--port", "0", *workers).ready()
    for name in NAMES:
        make(url, name)
    sent = {"mutations": [put("one", "a", "1"), put("two", "a", "2"), put("one", "a", "3")]}
    accepted = ask(f"{url}/v1/kv/mutate_items", sent)
    assert accepted.status == 200
    until(lambda: status(url, accepted.json["mutation_id"])["state"] == "applied")
    assert (value(url, "one", "a"), value(url, "two", "a")) == ("3", "2")


class Sender:
    """Sends sets, one after the other, until it is told to stop or nobody answers."""

    def __init__(self, url: str) -> None:
        self.sent = 0
        self.accepted: dict[int, str] = {}
        self.enough, self._stopping = threading.Event(), threading.Event()
        self._url = url
        self._thread = threading.Thread(target=self._send)

    def __enter__(self) -> Sender:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()

    def _send(self) -> None:
        while not self._stopping.is_set():
            number = self.sent = self.sent + 1
            mutations = [put(name, f"{number}", f"{number}.{step}") for step in range(5) for name in NAMES]
            try:
                answer = ask(f"{self._url}/v1/kv/mutate_items", {"mutations": mutations})
            except OSError:
                return
            if answer.status == 200:
                self.accepted[number] = answer.json["mutation_id"]
            if number == 40:
                self.enough.set()


def killed_while_it_accepts(running: Running, url: str) -> Sender:
    with Sender(url) as sender:
        assert sender.enough.wait(60)
        running.kill()
    return sender


def test_what_was_accepted_is_applied_after_the_process_was_killed(start: Start) -> None:
    running = start("up", "--port", "0")
    url = running.ready()
    for name in NAMES:
        make(url, name)
    sender = killed_while_it_accepts(running, url)
    assert len(sender.accepted) >= 39
    url = start("up", "--port", "0").ready()
    for number, mutation_id in sender.accepted.items():
        until(lambda each=mutation_id: status(url, each)["state"] == "applied")
        assert [value(url, name, f"{number}") for name in NAMES] == [f"{number}.4"] * 2
    last = f"{sender.sent}"
    until(lambda: [value(url, name, last) for name in NAMES] in ([f"{last}.4"] * 2, [None] * 2))


def test_a_dead_set_is_found_read_and_discarded_on_the_command_line(start: Start, cli: Cli) -> None:
    running = start("up", "--port", "0", "--roles", "http")
    url = running.ready()
    for name in NAMES:
        make(url, name)
    doomed = ask(f"{url}/v1/kv/mutate_items", {"mutations": [put("two", "b", "1")]}).json["mutation_id"]
    assert status(url, doomed)["state"] == "accepted"
    assert ask(f"{url}/v1/namespaces/delete", {"name": "two"}).status == 200
    make(url, "two")
    running.kill()
    url = start("up", "--port", "0").ready()
    until(lambda: status(url, doomed)["state"] == "dead")
    listed = cli("writeahead", "list-dead", "--url", url)
    assert [each["mutation_id"] for each in listed.json["sets"]] == [doomed]
    found = cli("writeahead", "get-dead", "--mutation-id", doomed, "--url", url).json
    assert (found["status"]["problem"]["code"], found["mutations"][0]["put"]["id"]) == ("invalid_argument", "b")
    assert cli("writeahead", "replay", "--mutation-id", doomed, "--retoken", "--url", url).code == 0
    until(lambda: status(url, doomed)["state"] == "dead")
    assert cli("writeahead", "discard", "--mutation-id", doomed, "--url", url).json["state"] == "discarded"
    assert cli("writeahead", "list-dead", "--url", url).json["sets"] == []
