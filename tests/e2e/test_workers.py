"""`soundstage up --workers`: several processes, any of which may die."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar, NamedTuple
from uuid import uuid4

import httpx2
import pytest
from tests.e2e.chores import installed
from tests.e2e.conftest import Start
from tests.e2e.processes import WITHIN_S, Place, Running, until
from tests.e2e.web import Answer, ask

from soundstage.core.errors import InvalidArgument, Unavailable
from soundstage.core.namespace import NamespaceSpec
from soundstage.data.kv import KeyValue, PutItem
from soundstage.runtime.namespaces.api import Namespaces
from soundstage.runtime.stage import Stage

pytestmark = pytest.mark.slow

QUICK = {
    "SOUNDSTAGE_CONTROL__POLL_INTERVAL": "50ms",
    "SOUNDSTAGE_JOBS__POLL_INTERVAL": "50ms",
    "SOUNDSTAGE_JOBS__LEASE": "500ms",
    "SOUNDSTAGE_PROCESSES__LEASE": "500ms",
}
ITEM = {"namespace": "home", "id": "u1", "items": [{"key": "bmFtZQ==", "value": "QWRh"}]}
UP_TWO = ("up", "--port", "0", "--workers", "http=2")
CONNECTIONS = 24
"""So many that each of two processes gets some of them."""


def children(pid: int) -> list[int]:
    with suppress(OSError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def gone(pid: int) -> bool:
    """Whether the process has ended; one whose parent has not asked for its end yet has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


def answers(url: str, path: str, message: Any, **options: Any) -> list[Answer]:
    """One answer over each of many connections."""
    return [ask(f"{url}{path}", message, **options) for _ in range(CONNECTIONS)]


def statuses(url: str, path: str, message: Any, **options: Any) -> set[int]:
    return {answer.status for answer in answers(url, path, message, **options)}


def samples(url: str, name: str) -> dict[str, float]:
    """The samples of a metric by the process that they are of."""
    found: dict[str, float] = {}
    for line in ask(f"{url}/metrics").body.decode().splitlines():
        if line.startswith(name + "{"):
            labels, value = line[len(name) + 1 :].rsplit("} ", 1)
            process = labels.partition('process="')[2].partition('"')[0]
            found[process] = found.get(process, 0) + float(value)
    return found


def make_namespace(url: str, **parts: Any) -> None:
    """The namespace `home` is there, or one of another `name`, for every worker once one has answered."""
    namespace = {"name": "home", "abstraction": "kv", **parts}
    assert ask(f"{url}/v1/namespaces/put", {"namespace": namespace}).status == 200


@pytest.fixture
def two(start: Start) -> Running:
    return start(*UP_TWO, variables=QUICK)


@pytest.fixture
def url(two: Running) -> str:
    return two.ready()


class Lasting(NamedTuple):
    """A stage with two workers for all tests that do it no harm."""

    stage: Running
    url: str


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lasting]:
    with Place(tmp_path_factory.mktemp("lasting")) as place:
        stage = place.start(*UP_TWO, variables=QUICK)
        yield Lasting(stage, stage.ready())


@pytest.fixture
def chores(place: Place) -> dict[str, str]:
    return QUICK | installed(place.folder)


def noted(place: Place, word: str) -> list[list[int]]:
    """The numbers of each whole line that begins with `word`."""
    path = place.folder / "notes"
    text = path.read_text() if path.exists() else ""
    lines = [line.split() for line in text[: text.rfind("\n") + 1].splitlines()]
    return [list(map(int, rest)) for first, *rest in lines if first == word]


class TestAnswering:
    @pytest.fixture
    def url(self, lasting: Lasting) -> str:
        return lasting.url

    def test_all_workers_answer_at_one_address(self, lasting: Lasting, url: str) -> None:
        assert len(children(lasting.stage.pid)) == 2
        make_namespace(url)
        assert statuses(url, "/v1/kv/put_items", ITEM) == {200}
        calls = samples(url, "soundstage_calls_started_total")
        assert min(calls["http-1"], calls["http-2"]) > 0
        assert set(samples(url, "soundstage_info")) == {"main", "http-1", "http-2"}

    def test_a_namespace_is_known_to_all_workers_once_one_has_made_it(self, start: Start) -> None:
        url = start(*UP_TWO, variables={"SOUNDSTAGE_CONTROL__POLL_INTERVAL": "1h"}).ready()
        make_namespace(url)
        assert statuses(url, "/v1/kv/put_items", ITEM) == {200}
        assert statuses(url, "/v1/namespaces/get", {"name": "home"}) == {200}

    def test_what_is_written_by_one_is_read_by_all(self, url: str) -> None:
        make_namespace(url)
        assert ask(f"{url}/v1/kv/put_items", ITEM).status == 200
        found = [answer.json["items"] for answer in answers(url, "/v1/kv/get_items", {"namespace": "home", "id": "u1"})]
        assert [len(items) for items in found] == [1] * CONNECTIONS

    def test_a_call_repeated_under_its_key_is_one_call_whichever_worker_gets_it(self, url: str) -> None:
        spec = {"namespace": {"name": "once", "abstraction": "kv"}, "expected_version": 0}
        found = answers(url, "/v1/namespaces/put", spec, headers={"Idempotency-Key": "k1"})
        assert {(answer.status, answer.json["version"]) for answer in found} == {(200, 1)}

    def test_a_condition_holds_for_one_of_all_whichever_worker_gets_it(self, url: str) -> None:
        make_namespace(url)
        found = [
            ask(
                f"{url}/v1/kv/put_items", ITEM | {"id": "once", "condition": {"key": "bmFtZQ==", "absent": True}}
            ).status
            for _ in range(CONNECTIONS)
        ]
        assert sorted(found) == [200] + [412] * (CONNECTIONS - 1)

    def test_a_page_token_of_one_worker_is_good_for_all(self, url: str) -> None:
        make_namespace(url, name="pages")
        for number in range(3):
            ask(f"{url}/v1/kv/put_items", ITEM | {"namespace": "pages", "id": f"u{number}"})
        scan = {"namespace": "pages", "selection": {"item_limit": 3, "page_size_bytes": 1}}
        token = ask(f"{url}/v1/kv/scan_items", scan).json["next_page_token"]
        assert statuses(url, "/v1/kv/scan_items", scan | {"page_token": token}) == {200}

    def test_a_file_sent_to_one_worker_is_read_from_all(self, url: str) -> None:
        content = os.urandom(3 << 20)
        with httpx2.Client(base_url=url, timeout=WITHIN_S) as client:
            sent = client.post("/v1/blobs", content=content)
        assert sent.status_code == 201
        for _ in range(6):
            with httpx2.Client(base_url=url, timeout=WITHIN_S) as client:
                assert client.get(sent.headers["location"]).content == content
        assert samples(url, "soundstage_info").keys() == {"main", "http-1", "http-2"}

    def test_a_file_whose_worker_is_killed_under_way_leaves_nothing(self, two: Running) -> None:
        url = two.ready()
        with httpx2.Client(base_url=url, timeout=WITHIN_S) as client, pytest.raises(httpx2.TransportError):
            client.put(f"/v1/blobs/{uuid4()}", content=killing(children(two.pid)))
        until(lambda: statuses_of_the_living(url) == {200})
        staging = Path(ask_folder(two)) / "blobs" / "staging"
        until(lambda: list(staging.iterdir()) == [])

    def test_quotas_hold_for_all_workers_together(self, url: str) -> None:
        make_namespace(url, name="slow", quotas={"reads_per_second": 1, "burst": "10ms"})
        began = time.monotonic()
        found = [answer.status for answer in answers(url, "/v1/kv/get_items", {"namespace": "slow", "id": "u1"})]
        assert found.count(200) <= 2 + (time.monotonic() - began)


class TestChanges:
    def test_a_deleted_namespace_is_forgotten_by_all(self, url: str) -> None:
        make_namespace(url)
        assert ask(f"{url}/v1/namespaces/delete", {"name": "home"}).status == 200
        until(lambda: statuses(url, "/v1/kv/put_items", ITEM) == {404})

    def test_a_revoked_token_is_refused_by_all(self, start: Start, place: Place) -> None:
        token = place.cli("tokens", "create", "--name", "ada", "--grants", '{"*":["admin"]}', "--output", "json").json[
            "bearer"
        ]
        running = start(
            "up", "--port", "0", "--workers", "http=2", variables=QUICK | {"SOUNDSTAGE_AUTH__MODE": "tokens"}
        )
        url = running.ready()
        assert statuses(url, "/v1/namespaces/list", {}, token=token) == {200}
        assert ask(f"{url}/v1/tokens/revoke", {"id": "ada"}, token=token).status == 200
        until(lambda: statuses(url, "/v1/namespaces/list", {}, token=token) == {401})


class TestEnds:
    def test_sigterm_ends_all_in_order(self, start: Start, place: Place) -> None:
        # With the leases that there are unless told otherwise: short ones run out on a machine that pauses.
        running = start(*UP_TWO)
        running.ready()
        pids = children(running.pid)
        ended = running.stop()
        assert (ended.code, ended.err) == (0, "")
        assert all(map(gone, pids))
        assert not (place.folder / "soundstage-data" / "HOST").exists()

    def test_a_killed_parent_leaves_no_child(self, two: Running, url: str, start: Start) -> None:
        pids = children(two.pid)
        two.kill()
        until(lambda: all(map(gone, pids)))
        again = start("up", "--port", "0", "--workers", "http=1")
        assert ask(f"{again.ready()}/health/ready").status == 200

    def test_a_killed_worker_is_started_again(self, two: Running, url: str) -> None:
        make_namespace(url)
        victim = children(two.pid)[0]
        os.kill(victim, signal.SIGKILL)
        until(lambda: len(set(children(two.pid)) - {victim}) == 2)
        until(lambda: statuses_of_the_living(url) == {200})
        until(lambda: sum(samples(url, "soundstage_worker_restarts_total").values()) == 1)
        until(lambda: "a worker ended and is started again" in two.errors)

    def test_a_worker_told_to_end_drains_and_is_started_again(self, two: Running, url: str) -> None:
        victim = children(two.pid)[0]
        os.kill(victim, signal.SIGTERM)
        until(lambda: len(set(children(two.pid)) - {victim}) == 2)
        line = until(lambda: [each for each in two.errors.splitlines() if "a worker ended" in each])[0]
        assert json.loads(line)["exit_code"] == 0

    def test_a_worker_that_keeps_ending_is_given_up_and_told_of(self, start: Start) -> None:
        running = start(
            *("up", "--port", "0", "--workers", "http=2", "--metrics-listen", "127.0.0.1:0"),
            variables=QUICK | {"SOUNDSTAGE_PROCESSES__RESTARTS": "0"},
        )
        health = running.line("metrics ").split()[1].replace("/metrics", "/health/ready")
        running.ready()
        os.kill(children(running.pid)[0], signal.SIGKILL)
        until(lambda: "not started again" in ask(health).body.decode())
        assert ask(health).status == 503
        until(lambda: "a worker is given up" in running.errors)
        assert running.stop().code == 0

    def test_a_worker_that_cannot_start_ends_the_whole_with_its_reason(self, start: Start, place: Place) -> None:
        (place.folder / "none.pem").write_text("no certificate")
        running = start(
            *("up", "--port", "0", "--workers", "http=2"),
            variables={"SOUNDSTAGE_HTTP__TLS__CERTIFICATE": str(place.folder / "none.pem")},
        )
        ended = running.ended()
        assert ended.code == 2
        assert "certificates cannot be used" in ended.err.splitlines()[-1]

    def test_an_address_in_use_is_refused_though_it_could_be_shared(self, two: Running, url: str, start: Start) -> None:
        port = url.rpartition(":")[2]
        ended = start("up", "--data", "other", "--port", port, "--workers", "http=1").ended()
        assert (ended.code, "is in use" in ended.err) == (2, True)

    def test_a_worker_that_hangs_is_killed_when_the_stage_stops(self, start: Start) -> None:
        running = start(
            *("up", "--port", "0", "--workers", "jobs=1"),
            variables={"SOUNDSTAGE_HTTP__DRAIN_TIMEOUT": "1ms", "SOUNDSTAGE_CONTROL__DRAIN_TIMEOUT": "1ms"},
        )
        running.ready()
        (child,) = children(running.pid)
        os.kill(child, signal.SIGSTOP)
        ended = running.stop()
        assert (ended.code, gone(child)) == (0, True)
        assert "did not stop in time" in ended.err


class TestRoles:
    def test_without_http_there_is_no_address(self, start: Start) -> None:
        running = start("up", "--roles", "jobs", "--output", "jsonl")
        ready = json.loads(running.line("{"))
        assert (ready["event"], "url" in ready) == ("ready", False)
        assert running.stop().code == 0

    def test_a_role_that_there_is_not_is_refused(self, start: Start) -> None:
        ended = start("up", "--port", "0", "--roles", "htp").ended()
        assert (ended.code, "did you mean 'http'?" in ended.err) == (2, True)

    def test_a_role_moves_when_its_holder_is_killed_and_its_fence_grows(
        self, start: Start, place: Place, chores: dict[str, str]
    ) -> None:
        running = start("up", "--port", "0", "--workers", "chores-guard=2", variables=chores)
        running.ready()
        first = until(lambda: noted(place, "guard"))[0]
        os.kill(first[0], signal.SIGKILL)
        second = until(lambda: [line for line in noted(place, "guard") if line[0] != first[0]])[0]
        assert second[1] > first[1]

    def test_a_holder_that_was_paused_past_its_lease_knows_that_it_lost_it(
        self, start: Start, place: Place, chores: dict[str, str]
    ) -> None:
        running = start("up", "--port", "0", "--workers", "chores-guard=2", variables=chores)
        running.ready()
        first = until(lambda: noted(place, "guard"))[0]
        os.kill(first[0], signal.SIGSTOP)
        second = until(lambda: [line for line in noted(place, "guard") if line[0] != first[0]])[0]
        before = len(noted(place, "guard"))
        os.kill(first[0], signal.SIGCONT)
        until(lambda: "a role is left, for its lease was lost" in running.errors)
        until(lambda: len(noted(place, "guard")) > before + 3)
        later = noted(place, "guard")[before:]
        # One note may have been under way when it was paused.
        assert [line for line in later if line[1] < second[1]][1:] == []


class TestSharing:
    ENGINES: ClassVar[dict[str, Any]] = {
        "default": {"url": "host:"},
        "blobs": {"url": "host:", "options": {"ports": ["blobs"]}},
    }

    async def test_what_is_of_this_process_alone_is_refused_beside_the_records_of_another(
        self, start: Start, place: Place
    ) -> None:
        start("up", "--port", "0", variables={"SOUNDSTAGE_PROCESSES__SHARED": "true"}).ready()
        own = {"hot": {"url": "lru:"}, "told": {"url": "memory:"}}
        config = {"engines": self.ENGINES | own, "systems": {"kv": {"changes_log": "told"}}}
        refused: list[str | None] = []
        async with Stage.open(data=place.folder / "soundstage-data", config=config) as stage:
            for knobs in ({"cache": {"engine": "hot"}, "consistency": "eventual"}, {"watch": True}):
                spec = NamespaceSpec(name="people", abstraction="kv", config=knobs)
                with pytest.raises(InvalidArgument) as caught:
                    await stage.client(Namespaces).put(namespace=spec)
                refused.append(caught.value.field)
        assert refused == ["namespace.config.cache.engine", "namespace.config.watch"]

    async def test_another_process_uses_the_engines_of_one_that_runs(self, start: Start, place: Place) -> None:
        running = start("up", "--port", "0", variables={"SOUNDSTAGE_PROCESSES__SHARED": "true"})
        url = running.ready()
        make_namespace(url)
        async with Stage.open(data=place.folder / "soundstage-data", config={"engines": self.ENGINES}) as stage:
            kv = stage.client(KeyValue, "home")
            await kv.put_items(id="u1", items=[PutItem(key=b"name", value=b"Ada")])
            file = await stage.files.put(in_chunks(b"x" * 100_000))
            assert await read_file(stage, file.blob) == b"x" * 100_000
            assert stage.health().ready
            running.kill()
            with pytest.raises(Unavailable):
                await kv.get_items(id="u1")
            assert "cannot be reached" in stage.health().reasons[0]
        again = start("up", "--port", "0")
        found = ask(f"{again.ready()}/v1/kv/get_items", {"namespace": "home", "id": "u1"}).json
        assert found["items"][0]["value"] == "QWRh"

    def test_engines_are_offered_to_nobody_unless_that_is_asked_for(self, start: Start, place: Place) -> None:
        start("up", "--port", "0").ready()
        assert not (place.folder / "soundstage-data" / "HOST").exists()

    def test_a_flag_that_gives_no_number_is_refused(self, start: Start) -> None:
        ended = start("up", "--port", "0", "--workers", "http").ended()
        assert (ended.code, "--workers http=2" in ended.err) == (2, True)


async def in_chunks(content: bytes) -> AsyncIterator[bytes]:
    yield content


async def read_file(stage: Stage, blob: str) -> bytes:
    return b"".join([chunk async for chunk in stage.files.read(blob)])


class TestJobs:
    def start_job(self, url: str, operation: str = "resuming") -> str:
        return ask(f"{url}/v1/chores/{operation}", {"to": 6, "wait_at": 3}).json["job_id"]

    def ended(self, url: str, job_id: str) -> Any:
        return ask(f"{url}/v1/jobs/result", {"job_id": job_id, "wait": "60s"}).json

    def test_a_job_whose_worker_is_killed_goes_on_in_another(
        self, start: Start, place: Place, chores: dict[str, str]
    ) -> None:
        url = start("up", "--port", "0", "--workers", "jobs=2", variables=chores).ready()
        job_id = self.start_job(url)
        first = until(lambda: len(noted(place, "job")) == 3 and noted(place, "job"))[0]
        os.kill(first[0], signal.SIGKILL)
        (place.folder / "go").touch()
        assert self.ended(url, job_id)["result"] == {"numbers": [3, 4, 5]}
        lines = noted(place, "job")
        assert [line[1] for line in lines] == [0, 1, 2, 3, 4, 5]
        assert lines[-1][2] > first[2]

    def test_a_job_that_may_not_be_repeated_fails_with_its_worker(
        self, start: Start, place: Place, chores: dict[str, str]
    ) -> None:
        url = start("up", "--port", "0", "--workers", "jobs=2", variables=chores).ready()
        job_id = self.start_job(url, "failing")
        first = until(lambda: len(noted(place, "job")) == 3 and noted(place, "job"))[0]
        os.kill(first[0], signal.SIGKILL)
        ended = self.ended(url, job_id)
        assert (ended["state"], ended["error"]["outcome"]) == ("failed", "unknown")
        assert len(noted(place, "job")) == 3

    def test_what_a_paused_worker_writes_after_its_lease_is_refused(
        self, start: Start, place: Place, chores: dict[str, str]
    ) -> None:
        running = start("up", "--port", "0", "--workers", "jobs=2", variables=chores)
        url = running.ready()
        job_id = self.start_job(url)
        first = until(lambda: len(noted(place, "job")) == 3 and noted(place, "job"))[0]
        os.kill(first[0], signal.SIGSTOP)
        (place.folder / "go").touch()
        ended = self.ended(url, job_id)
        os.kill(first[0], signal.SIGCONT)
        until(lambda: "a job was lost to another process" in running.errors)
        assert ended["result"] == {"numbers": [3, 4, 5]}
        assert self.ended(url, job_id) == ended
        assert [line[1] for line in noted(place, "job")] == [0, 1, 2, 3, 4, 5]
        assert min(line[2] for line in noted(place, "job")[3:]) > first[2]

    def test_a_killed_stage_goes_on_with_its_jobs_when_it_is_started_again(
        self, start: Start, place: Place, chores: dict[str, str]
    ) -> None:
        running = start("up", "--port", "0", "--workers", "jobs=1", variables=chores)
        job_id = self.start_job(running.ready())
        until(lambda: len(noted(place, "job")) == 3)
        running.kill()
        (place.folder / "go").touch()
        url = start("up", "--port", "0", "--workers", "jobs=1", variables=chores).ready()
        assert self.ended(url, job_id)["result"] == {"numbers": [3, 4, 5]}


def statuses_of_the_living(url: str) -> set[int]:
    """Connections that a process which was killed had taken are broken off, and are no answer."""
    found: set[int] = set()
    for _ in range(CONNECTIONS):
        with suppress(OSError):
            found.add(ask(f"{url}/health/live").status)
    return found


def killing(victims: list[int]) -> Iterator[bytes]:
    """The beginning of a file, behind which the processes are killed, and its rest."""
    yield bytes(1 << 20)
    for victim in victims:
        os.kill(victim, signal.SIGKILL)
    while True:
        yield bytes(1 << 16)


def ask_folder(running: Running) -> str:
    """The data folder of a stage that runs in the folder of the test."""
    return f"/proc/{running.pid}/cwd/soundstage-data"
