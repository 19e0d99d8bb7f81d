"""Pages from templates; everything shown is escaped."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined

from soundstage.core.errors import ERRORS
from soundstage.runtime.stage import Stage
from soundstage.surface.console.status import status
from soundstage.surface.examples import example_of
from soundstage.surface.openapi import document


async def home_page(stage: Stage) -> str:
    """Status, systems, namespaces, engines."""
    return _render("home.html", title="Soundstage", status=await status(stage))


def operation_page(stage: Stage, system: str, operation: str) -> str:
    """A form that makes one call and shows the reply. Raises `NotFound` for what no system has."""
    declared = stage.operation(system, operation).operation
    example = msgspec.json.format(msgspec.json.encode(example_of(declared)), indent=2).decode()
    schemas = document(stage)["components"]["schemas"]
    return _render(
        "operation.html",
        title=f"{system} {operation}",
        operation=declared,
        example=example,
        fields=_fields(schemas[declared.request.__name__]),
        tokens=stage.config.auth.mode == "tokens",
    )


def docs_page(stage: Stage) -> str:
    """The reference of all operations."""
    described = document(stage)
    sections = [
        {
            "tag": tag,
            "operations": [
                {"path": path, **item["post"]}
                for path, item in described["paths"].items()
                if item["post"]["tags"] == [tag["name"]]
            ],
        }
        for tag in described["tags"]
    ]
    schemas = {name: _fields(schema) for name, schema in sorted(described["components"]["schemas"].items())}
    errors = [
        {"code": code, "status": error.status, "title": error.title, "doc": (error.__doc__ or "").strip()}
        for code, error in ERRORS.items()
    ]
    return _render("docs.html", title="Soundstage reference", sections=sections, schemas=schemas, errors=errors)


def login_page() -> str:
    """Asks for a token and shows with it the page that was wanted."""
    return _render("login.html", title="Soundstage: token")


def _fields(schema: dict[str, Any]) -> list[dict[str, Any]]:
    required = set(schema.get("required", []))
    return [
        {"name": name, "type": _type(field), "required": name in required, "doc": field.get("description", "")}
        for name, field in schema.get("properties", {}).items()
    ]


def _type(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        return schema["$ref"].rpartition("/")[2]
    if "anyOf" in schema:
        options = [_type(option) for option in schema["anyOf"]]
        return " or ".join(option for option in options if option != "null")
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    if schema.get("contentEncoding") == "base64":
        return "bytes (base64)"
    if "enum" in schema:
        return " or ".join(repr(value) for value in schema["enum"])
    return str(schema.get("type", "any"))


def _render(template: str, **values: Any) -> str:
    return _templates().get_template(template).render(**values)


@lru_cache(maxsize=1)
def _templates() -> Environment:
    return Environment(
        loader=PackageLoader("soundstage.surface.console"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
