"""The pages for people as text: what they hold, and that nothing shown can become a part of them."""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser

import msgspec
import pytest
from tests.runtime.conftest import make

from soundstage.core.call import LOCAL
from soundstage.core.errors import ERRORS
from soundstage.runtime.doors import DoorInfo
from soundstage.runtime.stage import Stage
from soundstage.surface.console.form import Form, Forms, forms_of
from soundstage.surface.console.render import CONTENT_POLICY, docs_page, home_page, login_page, operation_page
from soundstage.surface.console.status import EngineStatus, Status, SystemStatus, status

VOID = frozenset(("meta", "link", "input", "br", "rect", "path"))


class Balance(HTMLParser):
    """Notes every tag that is closed by another, or by none, and every id."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.ids: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.ids += [value for name, value in attrs if name == "id" and value]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID and (not self.open or self.open.pop() != tag):
            self.wrong.append(tag)


def empty(**parts: object) -> Status:
    plain = {
        "version": "1",
        "ready": True,
        "reasons": [],
        "authentication": "none",
        "data": None,
        "systems": [],
        "namespaces": [],
        "namespaces_total": 0,
        "engines": [],
    }
    return Status(**{**plain, **parts})  # type: ignore[arg-type]


def test_the_first_page_shows_what_should_be_seen_to() -> None:
    assert "the disk is nearly full" in home_page(empty(warnings=["the disk is nearly full"]))


@pytest.fixture
def forms(stage: Stage) -> Forms:
    return forms_of(stage)


@pytest.fixture
async def pages(stage: Stage, forms: Forms) -> dict[str, str]:
    return {
        "home": home_page(await status(stage, LOCAL)),
        "docs": docs_page(stage, forms),
        "operation": operation_page(forms["kv", "put_items"]),
        "login": login_page(),
    }


KINDS = ["home", "docs", "operation", "login"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_tag_is_closed_and_every_id_unique(pages: dict[str, str], kind: str) -> None:
    balance = Balance(pages[kind])
    assert (balance.wrong, balance.open) == ([], [])
    assert sorted(set(balance.ids)) == sorted(balance.ids)


@pytest.mark.parametrize("kind", KINDS)
def test_script_and_style_are_those_that_the_policy_allows(pages: dict[str, str], kind: str) -> None:
    html = pages[kind]
    for tag in ("script", "style"):
        (text,) = re.findall(rf"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
        assert b64encode(sha256(text.encode()).digest()) in CONTENT_POLICY
    assert re.findall(r'\son\w+="|style="|javascript:', html) == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_page_is_titled_in_a_language_and_for_small_screens(pages: dict[str, str], kind: str) -> None:
    html = pages[kind]
    assert html.startswith('<!doctype html>\n<html lang="en">')
    assert re.search(r"<title>[^<]*Soundstage</title>", html)
    assert 'name="viewport"' in html
    assert 'name="color-scheme" content="light dark"' in html
    assert html.count("<h1>") == 1


def test_a_page_is_dark_where_the_reader_wants_it_dark(pages: dict[str, str]) -> None:
    assert "prefers-color-scheme: dark" in pages["home"]


class TestHome:
    async def test_it_shows_namespaces_engines_and_systems(self, stage: Stage) -> None:
        await make(stage, "attic")
        html = home_page(await status(stage, LOCAL))
        assert "This stage is ready" in html
        assert "/console/namespaces/get#request=%7B%22name%22%3A%20%22attic%22%7D" in html
        assert 'href="#engine-default"' in html
        assert 'id="engine-default"' in html
        assert "memory:" in html
        assert 'href="/console/kv/get_items"' in html

    def test_it_says_why_a_stage_is_not_ready(self) -> None:
        html = home_page(empty(ready=False, reasons=["the disk is full"]))
        assert "This stage is not ready" in html
        assert '<p class="bad">the disk is full</p>' in html

    def test_without_a_namespace_it_says_how_to_make_one(self) -> None:
        assert 'href="/console/namespaces/put"' in home_page(empty())

    def test_of_many_namespaces_it_says_how_many(self, stage: Stage) -> None:
        (info,) = stage.namespaces.applied.infos.values()
        html = home_page(empty(namespaces=[info], namespaces_total=5_000))
        assert "The first 1 of 5000" in html

    def test_a_problem_of_an_engine_is_shown(self) -> None:
        engine = EngineStatus(name="default", port="records", url="x:", capabilities=[], problem="it does not answer")
        assert '<span class="bad">it does not answer</span>' in home_page(empty(engines=[engine]))

    def test_doors_that_are_open_are_shown(self) -> None:
        door = DoorInfo(name="resp", kind="resp", address="redis://h:1", connections=1_234, requests=5, failures=6)
        html = home_page(empty(doors=[door]))
        assert "redis://h:1" in html
        assert "1,234" in html

    def test_an_upload_and_a_download_are_told_and_not_called(self, forms: Forms) -> None:
        for name, method in (("put_value", "PUT"), ("get_value", "GET")):
            page = operation_page(forms["kv", name])
            assert f"<code>{method} /v1/kv/value/{{namespace}}/{{id}}/{{key}}</code>" in page
            assert f"soundstage kv {name.replace('_', '-')}" in page
            assert "<form id" not in page

    def test_what_is_shown_cannot_become_html(self) -> None:
        evil = "<script>alert(1)</script>"
        system = SystemStatus(name=evil, summary=evil, stability=evil, operations=[])
        html = home_page(empty(reasons=[evil], data=evil, systems=[system]))
        assert evil not in html
        assert "&lt;script&gt;" in html


class TestOperation:
    def test_the_form_has_path_example_and_fields(self, forms: Forms) -> None:
        form = forms["kv", "get_items"]
        html = operation_page(form)
        assert 'data-path="/v1/kv/get_items"' in html
        assert "&#34;namespace&#34;: &#34;example&#34;" in html
        for field in (*form.request, *form.reply):
            assert f"<code>{field.name}</code>" in html

    def test_rows_and_a_next_page_have_their_place(self, forms: Forms) -> None:
        html = operation_page(forms["kv", "get_items"])
        assert 'id="rows"' in html
        assert 'id="next"' in html
        assert 'data-bytes="[&#34;items.key&#34;,&#34;items.value&#34;]"' in html
        assert 'data-rows="items"' in html
        assert 'id="rows"' not in operation_page(forms["namespaces", "export"])

    def test_a_page_is_a_table_of_what_it_is_a_page_of(self, forms: Forms) -> None:
        assert 'data-rows="records"' in operation_page(forms["timeseries", "read_event_records"])
        assert 'data-rows=""' in operation_page(forms["kv", "put_items"])

    def test_a_problem_has_its_place(self, forms: Forms) -> None:
        for form in (forms["kv", "get_items"], forms["namespaces", "export"]):
            assert '<p id="problem" class="bad" hidden></p>' in operation_page(form)

    def test_namespaces_are_offered_where_one_is_named(self, forms: Forms) -> None:
        assert 'data-abstraction="kv"' in operation_page(forms["kv", "get_items"])
        assert 'id="namespace"' not in operation_page(forms["namespaces", "put"])

    @pytest.mark.parametrize(
        ("kind", "does", "has", "has_not"),
        [
            ("call", "Call", "reply", "stop"),
            ("feed", "Follow", "messages", "reply"),
            ("job", "Start", "progress", "messages"),
        ],
    )
    def test_what_it_does_depends_on_the_kind(self, forms: Forms, kind: str, does: str, has: str, has_not: str) -> None:
        html = operation_page(msgspec.structs.replace(forms["kv", "get_items"], kind=kind))
        assert f'<button class="main">{does}</button>' in html
        assert f'data-kind="{kind}"' in html
        assert f'id="{has}"' in html
        assert f'id="{has_not}"' not in html

    def test_a_feed_is_followed(self, forms: Forms) -> None:
        assert forms["namespaces", "watch"].kind == "feed"

    def test_the_reference_is_linked(self, forms: Forms) -> None:
        assert 'href="/docs#kv_get_items"' in operation_page(forms["kv", "get_items"])

    def test_what_is_shown_cannot_become_html(self) -> None:
        evil = '"></textarea><script>alert(1)</script>'
        form = Form(
            system=evil,
            operation=evil,
            path=evil,
            kind="call",
            method=evil,
            doc=evil,
            access=evil,
            idempotent=False,
            namespaced=True,
            example={evil: evil},
            request=[],
            reply=[],
            bytes=[evil],
            rows=evil,
        )
        assert "<script>alert" not in operation_page(form)


class TestDocs:
    def test_every_operation_message_and_error_has_a_place(self, pages: dict[str, str], forms: Forms) -> None:
        ids = set(Balance(pages["docs"]).ids)
        assert ids >= {f"{form.system}_{form.operation}" for form in forms.values()}
        assert ids >= {f"error-{code}" for code in ERRORS}
        assert ids >= {"message-PutItems", "message-IdempotencyToken", "headers", "messages", "errors"}

    def test_every_link_within_the_page_leads_to_a_place(self, pages: dict[str, str]) -> None:
        html = pages["docs"]
        links = re.findall(r'href="(?:/docs)?#([^"]+)"', html)
        assert links
        assert set(links) <= set(Balance(html).ids)

    def test_every_header_is_explained(self, pages: dict[str, str]) -> None:
        for name in ("Soundstage-Timeout", "Idempotency-Key", "X-Request-Id", "traceparent"):
            assert f"<code>{name}</code>" in pages["docs"]

    def test_code_in_prose_is_set_as_code(self, pages: dict[str, str]) -> None:
        assert "<code>total_segments</code>" in pages["docs"]
        assert "`" not in re.sub(r"<script>.*?</script>", "", pages["docs"], flags=re.DOTALL)
