from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from typing import Annotated, Any, Literal

import msgspec
import pytest
from tests.surface.cli.messages import Both, Everything, Many

from soundstage.catalogue import SYSTEMS
from soundstage.core.errors import InvalidArgument
from soundstage.core.message import Duration
from soundstage.core.operation import Operation, operations_of
from soundstage.core.system import System
from soundstage.runtime.tokens.api import CreateToken
from soundstage.surface.cli.flags import GLOBAL_NAMES, Flag, flags_of, own_doc, singular

FLAGS = {name: flag for flag in flags_of(Many) for name in flag.names}


def declared(system: System) -> Iterable[tuple[str, Operation[..., Any]]]:
    return operations_of(import_module(f"{system.path}.api").CALLS).items()


def flag(name: str) -> Flag:
    return FLAGS[name]


@pytest.mark.parametrize(
    ("name", "annotation", "metavar"),
    [
        ("--id", str, "TEXT"),
        ("--count", int, "INTEGER"),
        ("--share", float, "NUMBER"),
        ("--reverse", bool, None),
        ("--mode", Literal["fast", "slow"], None),
        ("--at", str, "INSTANT"),
        ("--ttl", str, "DURATION"),
        ("--raw", str, "BYTES"),
        ("--name", list[str], "TEXT"),
        ("--names", list[str], "TEXT"),
        ("--fact", list[str], "KEY=VALUE"),
        ("--facts", str, "JSON"),
        ("--label", list[str], "KEY=VALUE"),
        ("--tagged", str, "JSON"),
        ("--options", list[str], "KEY=VALUE"),
        ("--engines", list[str], "KEY=VALUE"),
        ("--filter", str, "JSON"),
        ("--filter.everything", bool, None),
        ("--filter.range.start", str, "BYTES"),
        ("--filter.range.inclusive", bool, None),
        ("--filter.key", list[str], "BYTES"),
        ("--tree", str, "JSON"),
        ("--tree.name", str, "TEXT"),
        ("--either", str, "JSON"),
        ("--item-limit", int, "INTEGER"),
    ],
)
def test_each_kind_of_field_has_its_flag(name: str, annotation: Any, metavar: str | None) -> None:
    assert (flag(name).annotation, flag(name).metavar) == (annotation, metavar)


def test_a_field_with_a_global_name_has_no_flag() -> None:
    assert "token" in GLOBAL_NAMES
    assert "--token" not in FLAGS


def test_a_message_within_itself_is_given_as_json() -> None:
    assert flag("--tree.children").metavar == "JSON"
    assert not any(name.startswith("--tree.children.") for name in FLAGS)


def test_a_flag_knows_the_place_of_its_value() -> None:
    assert flag("--filter.range.start").path == ("filter", "range", "start")
    assert flag("--fact").path == flag("--facts").path == ("facts",)


def test_only_what_the_message_needs_is_called_required() -> None:
    assert [name for name, each in FLAGS.items() if each.help.startswith("required")] == ["--id"]


@pytest.mark.parametrize(
    ("name", "text"),
    [("--count", "how many"), ("--count", "0 to 9"), ("--count", "default 3"), ("--mode", "default fast"),
     ("--filter.range.inclusive", "default true"), ("--name", "repeatable"), ("--filter.everything", "Matches all.")],
)  # fmt: skip
def test_the_help_says_meaning_bounds_and_default(name: str, text: str) -> None:
    assert text in flag(name).help


def test_the_ends_of_64_bits_are_no_news() -> None:
    assert flag("--item-limit").help == ""


def test_a_singular_that_is_another_field_is_not_used() -> None:
    assert [each.names for each in flags_of(Both)] == [("--id",), ("--ids",)]


@pytest.mark.parametrize(
    ("name", "single"),
    [("items", "item"), ("queries", "query"), ("address", "address"), ("data", "data"), ("ids", "id")],
)
def test_names_lose_their_plural(name: str, single: str) -> None:
    assert singular(name) == single


@pytest.mark.parametrize(
    ("name", "typed", "plain"),
    [
        ("--id", "1", "1"),
        ("--raw", "hex:00", b"\x00"),
        ("--name", ["a", "b"], ["a", "b"]),
        ("--fact", ["a=b=c"], [{"key": b"a", "value": b"b=c"}]),
        ("--fact", ["hex:00=base64:AA=="], [{"key": b"\0", "value": b"\0"}]),
        ("--fact", ["empty="], [{"key": b"empty", "value": b""}]),
        ("--label", ["a=hex:00"], [{"key": "a", "value": "hex:00"}]),
        ("--engines", ["records=default", "log=other"], {"records": "default", "log": "other"}),
        ("--engines", ['{"records": "default"}'], {"records": "default"}),
        ("--options", ["n=1", "on=true", "text=fast", "list=[1]"], {"n": 1, "on": True, "text": "fast", "list": [1]}),
        ("--filter", '{"keys": ["AA=="]}', {"keys": ["AA=="]}),
        ("--filter.everything", True, {}),
        ("--filter.key", ["a"], [b"a"]),
        ("--either", "[]", []),
    ],
)  # fmt: skip
def test_values_are_read_as_json_would_carry_them(name: str, typed: Any, plain: Any) -> None:
    assert flag(name).read(typed) == plain


def test_json_may_come_from_a_file(tmp_path: Any) -> None:
    path = tmp_path / "filter.json"
    path.write_text('{"keys": []}')
    assert flag("--filter").read(f"@{path}") == {"keys": []}


@pytest.mark.parametrize(
    ("name", "typed"),
    [("--filter", "{"), ("--filter", "everything"), ("--fact", ["a"]), ("--fact", ["hex:0=1"]), ("--options", ["{"])],
)
def test_what_cannot_be_read_is_refused(name: str, typed: Any) -> None:
    with pytest.raises(InvalidArgument):
        flag(name).read(typed)


def test_an_empty_message_is_marked_for_it_has_no_opposite() -> None:
    assert flag("--filter.everything").empty
    assert not flag("--reverse").empty


def test_the_docs_of_a_struct_are_its_own() -> None:
    class Silent(msgspec.Struct):
        x: int = 0

    assert own_doc(Everything) == "Matches all."
    assert own_doc(Silent) == ""


@pytest.mark.parametrize(
    "operation",
    [pytest.param(operation, id=f"{system.name}/{name}") for system in SYSTEMS for name, operation in declared(system)],
)
def test_every_flag_of_every_operation_says_what_it_means(operation: Operation[..., Any]) -> None:
    assert [flag.names[0] for flag in flags_of(operation.request) if not flag.meaning] == []


class Row(msgspec.Struct):
    key: bytes
    value: bytes
    ttl: Annotated[Duration | None, msgspec.Meta(description="how long")] = None
    weight: Annotated[int, msgspec.Meta(ge=1, le=9)] = 1


class Rows(msgspec.Struct):
    rows: list[Row]
    weight: int = 0


def test_what_elements_say_besides_key_and_value_is_said_once_for_all() -> None:
    flags = {flag.names[0]: flag for flag in flags_of(Rows)}
    assert flags["--ttl"].help == "how long; for every --row without one"
    assert (flags["--ttl"].path, flags["--ttl"].each, flags["--ttl"].metavar) == (("rows", "ttl"), True, "DURATION")


def test_a_name_that_the_message_uses_itself_is_that_of_the_element_too() -> None:
    flags = {flag.names[0]: flag for flag in flags_of(Rows)}
    assert flags["--row.weight"].help == "1 to 9; for every --row without one"
    assert not flags["--weight"].each


def test_bounds_that_are_lengths_of_time_are_told() -> None:
    (flag,) = [flag for flag in flags_of(CreateToken) if flag.names == ("--expires-in",)]
    assert flag.help == "how long it works; none: until it is revoked; 1m to 3650d"
