from __future__ import annotations

import inspect
import shlex
from importlib import import_module
from typing import Any, get_origin

import msgspec
import pytest
from tests.surface.cli.conftest import Cli
from tests.surface.cli.messages import Many

from soundstage.catalogue import SYSTEMS
from soundstage.core.operation import Operation, operation, operations_of
from soundstage.core.system import System
from soundstage.surface.cli import systems
from soundstage.surface.cli.flags import flags_of
from soundstage.surface.cli.request import assemble
from soundstage.surface.cli.systems import command_of, example_of_call, system_app, usage_of


class Done(msgspec.Struct):
    ok: bool = True


class Empty(msgspec.Struct):
    pass


class Paged(msgspec.Struct, kw_only=True):
    """Pages of something."""

    namespace: str = ""
    page_token: str | None = None


class MarsCalls:
    """What Mars does."""

    system = "mars"

    @operation(Many, access="write")
    def land_softly(self) -> Done:  # pyright: ignore[reportReturnType]
        """Land; softly."""

    @operation(Empty, access="read")
    def wait(self) -> Done:  # pyright: ignore[reportReturnType]
        """Wait."""

    @operation(Paged, access="read")
    def look(self) -> Done:  # pyright: ignore[reportReturnType]
        """Look around."""


def parameters(of: Operation[..., Any]) -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(command_of(of)).parameters)


def test_every_operation_is_a_verb_with_dashes() -> None:
    app = system_app("mars", MarsCalls)
    assert [name for name in app if not name.startswith("-")] == ["land-softly", "wait", "look"]


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda system: system.name)
def test_every_system_of_the_catalogue_is_a_command(system: System) -> None:
    app = getattr(systems, system.name)
    calls = import_module(f"{system.path}.api").CALLS
    assert {verb.replace("-", "_") for verb in app if not verb.startswith("-")} == set(operations_of(calls))


def test_what_is_no_system_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="venus"):
        _ = systems.venus


def test_every_field_is_a_parameter_that_may_be_left_out() -> None:
    found = parameters(MarsCalls.land_softly)
    assert {"field_id", "field_count", "field_filter__range__start", "field_fact", "field_facts"} <= set(found)
    assert all(each.kind is inspect.Parameter.KEYWORD_ONLY for each in found.values())
    assert all(each.default is None for name, each in found.items() if name.startswith("field_"))


def test_only_what_has_pages_can_be_followed() -> None:
    assert "all_pages" in parameters(MarsCalls.look)
    assert "all_pages" not in parameters(MarsCalls.wait)


def test_the_command_is_named_and_explained_as_the_operation_is() -> None:
    command = command_of(MarsCalls.land_softly)
    assert command.__name__ == "land_softly"
    assert (
        command.__doc__ == "Land; softly.\n\nOne field of each kind.\n\nExample: soundstage mars land-softly --id my-id"
    )


@pytest.mark.parametrize(
    ("of", "line"),
    [
        (MarsCalls.land_softly, "--id TEXT [OPTIONS]"),
        (MarsCalls.wait, "[OPTIONS]"),
        (MarsCalls.look, "--namespace TEXT [OPTIONS]"),
    ],
)
def test_the_usage_names_what_cannot_be_left_out(of: Operation[..., Any], line: str) -> None:
    assert usage_of(of) == line


EVERY = [found for system in SYSTEMS for found in operations_of(import_module(f"{system.path}.api").CALLS).values()]


@pytest.mark.parametrize("of", EVERY, ids=lambda of: of.path)
def test_the_example_in_the_help_is_a_call_that_would_be_taken(of: Operation[..., Any]) -> None:
    words = shlex.split(example_of_call(of))
    assert words[:4] == ["Example:", "soundstage", of.system, of.name.replace("_", "-")] or words == []
    flags = {name: flag for flag in flags_of(of.request) for name in flag.names}
    given: dict[str, Any] = {}
    for name, value in zip(words[4::2], words[5::2], strict=True):
        given[flags[name].names[0]] = [value] if get_origin(flags[name].annotation) is list else value
    assemble(of.request, list(flags.values()), given, {})


def test_the_help_shows_an_example_on_one_line(cli: Cli) -> None:
    lines = cli("kv", "put-items", "--help").out.splitlines()
    assert "Example: soundstage kv put-items --namespace my-namespace --id my-id --item key=value" in lines


def test_booleans_have_an_opposite_and_empty_messages_have_none() -> None:
    names = {name for each in parameters(MarsCalls.land_softly).values() for name in _names(each)}
    assert {"--reverse", "--no-reverse", "--filter.range.no-inclusive"} <= names
    assert "--filter.no-everything" not in names


@pytest.mark.parametrize("flags", [["--item", "-a=-b"], ["--id", "-1"]])
def test_values_may_begin_with_a_dash_where_data_may(cli: Cli, flags: list[str]) -> None:
    ended = cli("kv", "put-items", "--data", "memory:", "--namespace", "x", "--id=1", "--item=k=v", *flags)
    assert (ended.code == 1) is (flags[0] == "--item")


def _names(parameter: inspect.Parameter) -> tuple[str, ...]:
    from cyclopts import Parameter

    found: tuple[str, ...] = ()
    for note in getattr(parameter.annotation, "__metadata__", ()):
        if isinstance(note, Parameter):
            found += (*(note.name or ()), *(note.negative or ()))
    return found
