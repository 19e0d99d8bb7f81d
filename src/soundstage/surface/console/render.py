"""Pages from templates; everything shown is escaped.

Style and script are parts of every page, so that pages need no other request, which could carry no token;
the content policy lets nothing run but these two, known by their hashes.
"""

from __future__ import annotations

import inspect
from base64 import b64encode
from collections.abc import Sequence
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Any

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined

from soundstage.core.errors import ERRORS
from soundstage.core.panels import Panel
from soundstage.core.system import System
from soundstage.runtime.stage import Stage
from soundstage.surface.console.form import Form, FormField, Forms, fields_of
from soundstage.surface.console.status import Status
from soundstage.surface.openapi import document

_STATIC = files("soundstage.surface.console") / "static"
_STYLE = (_STATIC / "console.css").read_text()
_SCRIPT = (_STATIC / "panels.js").read_text() + (_STATIC / "console.js").read_text()


def _hash(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


CONTENT_POLICY = (
    f"default-src 'none'; script-src {_hash(_SCRIPT)}; style-src {_hash(_STYLE)}; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
).encode()
"""The header `Content-Security-Policy` of every page."""


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """One system in the reference."""

    name: str
    summary: str
    stability: str
    forms: list[Form]


class MessageDoc(msgspec.Struct, frozen=True, kw_only=True):
    doc: str
    fields: list[FormField]


def home_page(status: Status) -> str:
    """Status, namespaces, engines, systems."""
    return _render("home.html", title="Soundstage", twin="/status.json", status=status)


def operation_page(form: Form) -> str:
    """A form that makes one call and shows the reply."""
    return _render(
        "operation.html",
        title=f"{form.system} {form.operation} · Soundstage",
        twin=f"/console/{form.system}/{form.operation}.json",
        form=form,
        bytes=msgspec.json.encode(form.bytes).decode(),
        example=msgspec.json.format(msgspec.json.encode(form.example), indent=2).decode(),
    )


def system_page(system: System, panels: Sequence[Panel]) -> str:
    """What a system shows of itself, for the namespace that is chosen there."""
    return _render(
        "system.html",
        title=f"{system.name} · Soundstage",
        system=system,
        panels=panels,
        kinds=[panel.__struct_config__.tag for panel in panels],
        described=msgspec.json.encode(panels).decode(),
    )


def docs_page(stage: Stage, forms: Forms) -> str:
    """The reference of all operations, their messages and errors."""
    described = document(stage)
    schemas: dict[str, Any] = described["components"]["schemas"]
    return _render(
        "docs.html",
        title="Reference · Soundstage",
        twin="/openapi.json",
        about=described["info"]["description"],
        sections=_sections(stage, forms),
        headers=_headers(described),
        messages={name: _message(schema) for name, schema in sorted(schemas.items())},
        errors=[
            {"code": code, "status": error.status, "doc": inspect.cleandoc(error.__doc__ or "")}
            for code, error in sorted(ERRORS.items(), key=lambda entry: (entry[1].status, entry[0]))
        ],
    )


def login_page() -> str:
    """Asks for a token and shows with it the page that was wanted."""
    return _render("login.html", title="Soundstage")


def _sections(stage: Stage, forms: Forms) -> list[Section]:
    return [
        Section(
            name=name,
            summary=system.summary,
            stability=system.stability,
            forms=[forms[name, operation] for operation in stage.systems.operations(name)],
        )
        for name, system in stage.systems.catalogue.items()
    ]


def _headers(described: dict[str, Any]) -> list[dict[str, Any]]:
    """Every header that some operation reads, once."""
    posts = [path["post"] for path in described["paths"].values() if "post" in path]
    return list({header["name"]: header for post in posts for header in post["parameters"]}.values())


def _message(schema: dict[str, Any]) -> MessageDoc:
    return MessageDoc(doc=schema.get("description", ""), fields=fields_of(schema))


def _render(template: str, **values: Any) -> str:
    return _templates().get_template(template).render(style=_STYLE, script=_SCRIPT, **values)


@cache
def _templates() -> Environment:
    return Environment(
        loader=PackageLoader("soundstage.surface.console"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
