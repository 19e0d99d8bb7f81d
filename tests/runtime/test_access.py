from __future__ import annotations

import pytest

from soundstage.core.call import LOCAL, Access, Principal
from soundstage.core.errors import Forbidden
from soundstage.runtime.access import allows, authorise, matches

ROLES: tuple[Access, ...] = ("read", "write", "observe", "admin")


@pytest.mark.parametrize(
    ("granted", "allowed"),
    [
        ("read", {"read"}),
        ("write", {"read", "write"}),
        ("observe", {"observe"}),
        ("admin", {"read", "write", "observe", "admin"}),
    ],
)
def test_what_each_role_allows(granted: Access, allowed: set[Access]) -> None:
    principal = Principal("p", {"*": (granted,)})
    assert {access for access in ROLES if allows(principal, access, "x")} == allowed


@pytest.mark.parametrize(
    ("pattern", "namespace", "covered"),
    [
        ("*", "anything", True),
        ("team-*", "team-a", True),
        ("team-*", "team-", True),
        ("team-*", "teams", False),
        ("profiles", "profiles", True),
        ("profiles", "profiles2", False),
        ("profiles", "profile", False),
        ("team-*", "*", False),
        ("*", "*", True),
    ],
)
def test_what_a_pattern_covers(pattern: str, namespace: str, covered: bool) -> None:
    assert matches(pattern, namespace) is covered


def test_the_owner_may_do_everything() -> None:
    assert allows(LOCAL, "admin", "x")
    authorise(LOCAL, "admin", ("*",), "x")


def test_without_a_namespace_a_grant_on_any_is_enough() -> None:
    principal = Principal("p", {"a": ("read",), "b": ("write",)})
    assert allows(principal, "write", None)
    assert not allows(principal, "admin", None)


def test_grants_of_several_patterns_add_up() -> None:
    principal = Principal("p", {"a*": ("read",), "ab": ("write",)})
    assert allows(principal, "write", "ab")
    assert not allows(principal, "write", "ac")


def test_every_namespace_of_a_call_needs_the_role() -> None:
    principal = Principal("ci", {"a": ("write",)})
    authorise(principal, "write", ("a",), "kv/mutate_items")
    with pytest.raises(Forbidden) as caught:
        authorise(principal, "write", ("a", "b"), "kv/mutate_items")
    assert caught.value.detail == "'ci' may not kv/mutate_items: it lacks the role 'write' on namespace 'b'"


def test_who_may_nothing_is_told_the_role() -> None:
    with pytest.raises(Forbidden, match="lacks the role 'read' on any namespace"):
        authorise(Principal("nobody", {}), "read", (), "namespaces/list")
