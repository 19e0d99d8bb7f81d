"""What is read rather than called, in process, with and without authentication."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.runtime.notes.service import NotesService
from tests.surface.http.asgi_client import Answer, Caller
from tests.surface.http.conftest import OpenStage

from soundstage.core.call import Access
from soundstage.runtime.config import HttpConfig
from soundstage.runtime.control.registry import Unserved
from soundstage.runtime.stage import Stage
from soundstage.runtime.tokens.api import Tokens
from soundstage.surface.http.app import Application

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
VIEWS = {"/": "/status.json", "/docs": "/openapi.json", "/console/kv/put_items": "/console/kv/put_items.json"}
"""Every page for people, and the same as data."""
GUARDED = [*VIEWS, *VIEWS.values(), "/console/timeseries"]


def lose(stage: Stage) -> None:
    """The stage has a namespace `odd` that it cannot serve."""
    info = next(iter(stage.namespaces.applied.infos.values()))
    odd = msgspec.structs.replace(info, name="odd")
    stage.namespaces.applied.registry.refuse(Unserved(odd, "gone", "bring it back"))


class TestHealth:
    @pytest.mark.parametrize("path", ["/health/live", "/health/ready"])
    async def test_a_running_stage_is_well(self, caller: Caller, path: str) -> None:
        answer = await caller.ask(path)
        assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
        assert answer.headers["cache-control"] == "no-store"

    async def test_a_closed_application_is_not_ready_and_says_why(self, stage: Stage) -> None:
        application = Application(stage, HttpConfig())
        application.closed = "the server is stopping"
        answer = await Caller(application).ask("/health/ready")
        assert (answer.status, answer.json()) == (503, {"status": "not ready", "reasons": ["the server is stopping"]})

    async def test_a_stage_that_runs_out_of_disk_is_ready_and_warns(self, stage: Stage) -> None:
        stage.engines["default"].warning = "the disk is nearly full"
        answer = await Caller(Application(stage, HttpConfig())).ask("/health/ready")
        told = {"status": "ready", "reasons": [], "warnings": ["the disk is nearly full"]}
        assert (answer.status, answer.json()) == (200, told)

    async def test_where_on_this_machine_something_is_wrong_is_told_to_nobody_here(self, tmp_path: Path) -> None:
        config = {"engines": {"default": {"url": "memory:"}, "blobs": {"url": "memory:"}}}
        async with Stage.open(data=str(tmp_path / "data"), config=config) as stage:
            stage.engines["default"].warning = f"the disk of {tmp_path}/data/records is nearly full"
            answer = await Caller(Application(stage, HttpConfig())).ask("/health/ready")
            assert answer.json()["warnings"] == ["the disk of the data folder/records is nearly full"]
            shown = await Caller(Application(stage, HttpConfig())).ask("/status.json")
            assert f"{tmp_path}/data/records" in str(shown.json())

    async def test_it_is_live_all_the_same(self, stage: Stage) -> None:
        application = Application(stage, HttpConfig())
        application.closed = "the server is stopping"
        assert (await Caller(application).ask("/health/live")).json() == {"status": "live"}

    async def test_a_stage_that_has_stopped_is_not_ready(self) -> None:
        async with Stage.open(data="memory:") as stage:
            caller = Caller(Application(stage, HttpConfig()))
        answer = await caller.ask("/health/ready")
        assert (answer.status, bool(answer.json()["reasons"])) == (503, True)

    async def test_a_namespace_that_cannot_be_served_is_named_and_the_stage_ready(self, stage: Stage) -> None:
        lose(stage)
        answer = await Caller(Application(stage, HttpConfig())).ask("/health/ready")
        body = {
            "status": "ready",
            "reasons": [],
            "unserved": ["namespace 'odd' cannot be served: gone (bring it back)"],
        }
        assert (answer.status, answer.json()) == (200, body)

    @pytest.mark.parametrize("host", ["lb.example:7777", "10.0.0.3", "localhost"])
    async def test_whoever_balances_load_may_ask_under_any_name(self, caller: Caller, host: str) -> None:
        assert (await caller.ask("/health/ready", host=host)).status == 200


class TestViews:
    @pytest.mark.parametrize("path", VIEWS)
    async def test_a_view_is_html_that_links_its_twin(self, caller: Caller, path: str) -> None:
        answer = await caller.ask(path)
        assert (answer.status, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert f'<link rel="alternate" type="application/json" href="{VIEWS[path]}">' in answer.body.decode()

    @pytest.mark.parametrize("path", VIEWS.values())
    async def test_its_twin_is_json(self, caller: Caller, path: str) -> None:
        answer = await caller.ask(path)
        assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
        assert isinstance(answer.json(), dict)

    @pytest.mark.parametrize("path", [*VIEWS, "/metrics", "/health/live"])
    async def test_a_head_is_its_headers(self, caller: Caller, path: str) -> None:
        answer = await caller.ask(path, method="HEAD")
        assert (answer.status, answer.body) == (200, b"")
        assert int(answer.headers["content-length"]) > 0

    @pytest.mark.parametrize("path", VIEWS)
    async def test_a_view_runs_nothing_but_its_own_script_and_asks_nobody_else(self, caller: Caller, path: str) -> None:
        answer = await caller.ask(path)
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'sha256-")
        assert "connect-src 'self'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"

    @pytest.mark.parametrize("path", VIEWS)
    async def test_a_view_is_whole_without_the_network(self, caller: Caller, path: str) -> None:
        html = (await caller.ask(path)).body.decode()
        assert re.findall(r"<(?:script|img|iframe)[^>]+src=|@import|url\(", html) == []
        assert [
            href for href in re.findall(r'<link[^>]+href="([^"]+)"', html) if href[:5] not in ("data:", VIEWS[path][:5])
        ] == []

    async def test_every_link_of_the_views_leads_somewhere(self, caller: Caller) -> None:
        links = {
            link.partition("#")[0]
            for path in VIEWS
            for link in re.findall(r'href="(/[^"]*)"', (await caller.ask(path)).body.decode())
        }
        assert "/console/kv/get_items" in links
        assert [link for link in links if (await caller.ask(link)).status != 200] == []

    async def test_what_stays_the_same_is_made_once(self, caller: Caller) -> None:
        for path in ("/docs", "/openapi.json", "/console/kv/put_items"):
            assert (await caller.ask(path)).body == (await caller.ask(path)).body

    @pytest.mark.parametrize(
        "path",
        ["/console/kv/put_item", "/console/kvs/put_items", "/console/kv/", "/console/", "/console/kv/put_items/x"],
    )
    async def test_an_operation_that_is_none_is_404(self, caller: Caller, path: str) -> None:
        answer = await caller.ask(path)
        assert (answer.status, answer.json()["code"]) == (404, "not_found")

    async def test_a_name_cannot_put_html_into_a_page(self, caller: Caller) -> None:
        answer = await caller.ask("/console/<script>alert(1)</script>/x", accept=BROWSER)
        assert (answer.status, answer.headers["content-type"]) == (404, "application/problem+json")


class TestMetrics:
    async def test_they_are_text_for_prometheus(self, caller: Caller) -> None:
        answer = await caller.ask("/metrics")
        assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert re.search(rb"^# TYPE soundstage_\w+ counter$", answer.body, re.MULTILINE)

    async def test_a_call_over_the_wire_is_counted(self, caller: Caller, notes: NotesService) -> None:
        note = {"namespace": "home", "name": "milk", "text": "two"}
        before = (await caller.ask("/status.json")).json()
        await caller.post("/v1/notes/write", note)
        await caller.post("/v1/notes/read", {"namespace": "home", "name": "wine"})
        after = (await caller.ask("/status.json")).json()
        assert counted(after, "notes", "write")["calls"] == counted(before, "notes", "write")["calls"] + 1
        assert counted(after, "notes", "read")["failures"] == counted(before, "notes", "read")["failures"] + 1


def counted(status: dict[str, Any], system: str, operation: str) -> dict[str, Any]:
    (found,) = [each for each in status["systems"] if each["name"] == system]
    (counts,) = [each for each in found["operations"] if each["name"] == operation]
    return counts


class Guarded:
    """A stage that wants tokens, and callers with some."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.caller = Caller(Application(stage, HttpConfig()))

    async def bearer(self, *roles: Access, namespaces: list[str] | None = None) -> str:
        name = "-".join([*roles, *(namespaces or ["all"])]).replace("*", "any")
        reply = await self.stage.client(Tokens).create(name=name, roles=[*roles], namespaces=namespaces or [])
        return f"Bearer {reply.bearer}"

    async def ask(self, path: str, *roles: Access, namespaces: list[str] | None = None) -> Answer:
        return await self.caller.ask(path, authorization=await self.bearer(*roles, namespaces=namespaces))


class TestAuthentication:
    @pytest.fixture
    async def guarded(self, open_stage: OpenStage) -> Guarded:
        return Guarded(await open_stage(auth={"mode": "tokens"}))

    @pytest.mark.parametrize("path", ["/health/live", "/health/ready"])
    async def test_health_is_open(self, guarded: Guarded, path: str) -> None:
        assert (await guarded.caller.ask(path)).status == 200

    @pytest.mark.parametrize("path", [*GUARDED, "/metrics", "/nothing", "/v1/kv/get_items", "/console/no/such"])
    async def test_everything_else_wants_a_token(self, guarded: Guarded, path: str) -> None:
        answer = await guarded.caller.ask(path)
        problem = answer.json()
        assert (answer.status, problem["code"]) == (401, "unauthenticated")
        assert answer.headers["www-authenticate"] == 'Bearer realm="soundstage"'
        assert "Authorization: Bearer" in problem["hint"]

    @pytest.mark.parametrize("given", ["Bearer nothing", "Basic dXNlcjpwYXNz", "Bearer", "Bearer ", "bearer \xff"])
    async def test_a_token_that_is_none_is_refused(self, guarded: Guarded, given: str) -> None:
        answer = await guarded.caller.ask("/status.json", authorization=given)
        assert (answer.status, answer.json()["code"]) == (401, "unauthenticated")
        assert "Basic" not in answer.body.decode()

    @pytest.mark.parametrize("path", GUARDED)
    async def test_any_token_opens_the_views(self, guarded: Guarded, path: str) -> None:
        assert (await guarded.ask(path, "read", namespaces=["home"])).status == 200

    @pytest.mark.parametrize(("role", "status"), [("observe", 200), ("admin", 200), ("read", 403), ("write", 403)])
    async def test_metrics_are_for_those_who_observe(self, guarded: Guarded, role: Access, status: int) -> None:
        answer = await guarded.ask("/metrics", role)
        assert answer.status == status
        if status == 403:
            assert (answer.json()["code"], "observe" in answer.json()["detail"]) == ("forbidden", True)

    async def test_a_call_needs_the_role_on_its_namespace(self, guarded: Guarded) -> None:
        note = {"namespace": "home", "name": "milk", "text": "two"}
        may = await guarded.bearer("write", namespaces=["home"])
        reads = await guarded.bearer("read", namespaces=["home"])
        elsewhere = await guarded.bearer("write", namespaces=["people"])
        answers = [
            await guarded.caller.post("/v1/notes/write", note, authorization=each) for each in (may, reads, elsewhere)
        ]
        assert [answer.status for answer in answers] == [200, 403, 403]

    async def test_who_calls_is_told_to_the_handler(self, guarded: Guarded) -> None:
        service = guarded.stage.systems.service("notes")
        assert isinstance(service, NotesService)
        bearer = await guarded.bearer("write")
        note = {"namespace": "home", "name": "milk", "text": "two"}
        await guarded.caller.post("/v1/notes/write", note, authorization=bearer)
        assert service.calls[-1].principal.name == "write-all"

    async def test_a_key_belongs_to_its_caller(self, guarded: Guarded) -> None:
        one = await guarded.bearer("admin")
        other = await guarded.bearer("admin", namespaces=["*"])
        answers = [
            await guarded.caller.post("/v1/notes/disturb", {"how": "no"}, idempotency_key="k", authorization=bearer)
            for bearer in (one, other, one)
        ]
        assert [answer.json() for answer in answers] == [{"count": 1}, {"count": 2}, {"count": 1}]

    async def test_a_browser_is_asked_for_a_token(self, guarded: Guarded) -> None:
        answer = await guarded.caller.ask("/", accept=BROWSER)
        assert (answer.status, answer.headers["content-type"]) == (401, "text/html; charset=utf-8")
        assert '<form id="login">' in answer.body.decode()
        assert answer.headers["www-authenticate"] == 'Bearer realm="soundstage"'

    @pytest.mark.parametrize("path", ["/status.json", "/nothing", "/metrics"])
    async def test_but_not_where_there_is_no_page_for_people(self, guarded: Guarded, path: str) -> None:
        answer = await guarded.caller.ask(path, accept=BROWSER)
        assert answer.headers["content-type"] == "application/problem+json"

    async def test_a_browser_with_a_wrong_token_is_told_so(self, guarded: Guarded) -> None:
        answer = await guarded.caller.ask("/", accept=BROWSER, authorization="Bearer nothing")
        assert (answer.status, answer.headers["content-type"]) == (401, "application/problem+json")

    async def test_a_token_that_was_revoked_opens_nothing(self, guarded: Guarded) -> None:
        bearer = await guarded.bearer("admin")
        await guarded.stage.client(Tokens).revoke(id="admin-all")
        assert (await guarded.caller.ask("/status.json", authorization=bearer)).status == 401
