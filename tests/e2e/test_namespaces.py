"""Namespaces as an operator works with them: declared in the stage file or by API, changed, watched, deleted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from tests.e2e.processes import Ended, Place
from tests.e2e.web import Answer, ask

pytestmark = pytest.mark.slow

PUT = {"id": "1", "items": [{"key": "YQ==", "value": "YQ=="}]}


class Served(NamedTuple):
    """A running stage that declares the namespace `declared`."""

    place: Place
    url: str

    def cli(self, *arguments: str) -> Ended:
        return self.place.cli(*arguments, "--url", self.url, "--output", "json")

    def make(self, name: str, **parts: Any) -> Answer:
        return ask(f"{self.url}/v1/namespaces/put", {"namespace": {"name": name, "abstraction": "kv", **parts}})


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with Place(tmp_path_factory.mktemp("namespaces")) as place:
        (place.folder / "stage.toml").write_text('[http]\nport = 0\n[namespaces.declared]\nabstraction = "kv"\n')
        yield Served(place, place.start("up", "--stage", "stage.toml").ready())


def test_name_and_abstraction_are_enough(served: Served) -> None:
    made = served.cli("namespaces", "put", "--namespace.name", "small", "--namespace.abstraction", "kv").json
    assert (made["name"], made["version"], made["managed_by"]) == ("small", 1, "api")
    assert made["engines"] == {"records": "default"}
    assert made["config"]["drift_past"] == "10m"
    assert served.cli("namespaces", "get", "--name", "small").json == made


def test_knobs_and_quotas_are_flags_or_json(served: Served) -> None:
    by_flags = served.cli(
        "namespaces", "put", "--namespace.name", "flags", "--namespace.abstraction", "kv",
        "--namespace.config", "drift_past=5m", "--namespace.quotas.in-flight", "7",
    ).json  # fmt: skip
    spec = {"name": "json", "abstraction": "kv", "config": {"drift_past": "5m"}, "quotas": {"in_flight": 7}}
    by_json = served.cli("namespaces", "put", "--namespace", json.dumps(spec)).json
    for made in (by_flags, by_json):
        assert (made["config"]["drift_past"], made["quotas"]["in_flight"]) == ("5m", 7)


def test_a_change_of_what_another_has_changed_is_refused(served: Served) -> None:
    served.make("contended")
    served.make("contended", config={"rows_max": 500})
    put = ("namespaces", "put", "--namespace.name", "contended", "--namespace.abstraction", "kv")
    ended = served.cli(*put, "--expected-version", "1", "--namespace.config", "rows_max=600")
    assert (ended.code, ended.problem["code"]) == (1, "precondition_failed")
    assert "version 2" in ended.problem["detail"]
    assert served.cli("namespaces", "get", "--name", "contended").json["config"]["rows_max"] == 500


@pytest.mark.parametrize(
    "verb",
    [
        ("put", "--namespace.name", "declared", "--namespace.abstraction", "kv", "--namespace.config", "rows_max=500"),
        ("delete", "--name", "declared"),
    ],
    ids=lambda verb: verb[0],
)
def test_what_the_stage_file_declares_is_not_changed_by_api(served: Served, verb: tuple[str, ...]) -> None:
    ended = served.cli("namespaces", *verb)
    assert (ended.code, ended.problem["code"]) == (1, "precondition_failed")
    assert "[namespaces.declared]" in ended.problem["hint"]


def test_the_history_tells_who_changed_what_and_when(served: Served) -> None:
    served.make("watched")
    served.make("watched", config={"rows_max": 500})
    changes = served.cli("namespaces", "history", "--name", "watched").json["changes"]
    assert [(each["action"], each["version"], each["by"]) for each in changes] == [
        ("changed", 2, "local"),
        ("created", 1, "local"),
    ]
    assert changes[0]["changed"] == ["config.rows_max"]
    assert changes[0]["at"] > changes[1]["at"]


def test_what_is_deleted_is_gone_with_its_data_and_leaves_its_history(served: Served) -> None:
    served.make("gone")
    assert ask(f"{served.url}/v1/kv/put_items", {"namespace": "gone", **PUT}).status == 200
    assert served.cli("namespaces", "delete", "--name", "gone").code == 0
    assert served.cli("namespaces", "get", "--name", "gone").problem["code"] == "not_found"
    changes = served.cli("namespaces", "history", "--name", "gone").json["changes"]
    assert [each["action"] for each in changes] == ["deleted", "created"]
    served.make("gone")
    found = ask(f"{served.url}/v1/kv/get_items", {"namespace": "gone", "id": "1"}).json
    assert found["items"] == []


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"name": "", "abstraction": "kv"}, "namespace.name"),
        ({"name": "x", "abstraction": "kw"}, "namespace.abstraction"),
        ({"name": "x", "abstraction": "kv", "config": {"row_max": 1}}, "namespace.config.row_max"),
        ({"name": "x", "abstraction": "kv", "config": {"rows_max": 0}}, "namespace.config.rows_max"),
        ({"name": "x", "abstraction": "kv", "engines": {"records": "fast"}}, "namespace.engines.records"),
        ({"name": "x", "abstraction": "kv", "quota": {}}, "namespace.quota"),
        ({"name": "x", "abstraction": "kv", "quotas": {"in_flight": 0}}, "namespace.quotas.in_flight"),
        ({"name": "x"}, "namespace.abstraction"),
    ],
)  # fmt: skip
def test_a_wrong_declaration_is_refused_with_the_field(served: Served, spec: dict[str, Any], field: str) -> None:
    answer = ask(f"{served.url}/v1/namespaces/put", {"namespace": spec})
    assert (answer.status, answer.json["field"]) == (400, field)


def test_what_is_fixed_at_creation_stays(served: Served) -> None:
    served.make("fixed", config={"key_order": "desc"})
    answer = served.make("fixed", config={"key_order": "asc"})
    assert (answer.status, answer.json["field"]) == (400, "namespace.config.key_order")
    assert "copy" in answer.json["hint"]


def test_a_change_holds_for_the_next_call_without_a_restart(served: Served) -> None:
    served.make("quick")
    get = {"namespace": "quick", "ids": ["1", "2"]}
    assert ask(f"{served.url}/v1/kv/batch_get_items", get).status == 200
    served.make("quick", config={"batch_ids_max": 1})
    assert ask(f"{served.url}/v1/kv/batch_get_items", get).json["field"] == "ids"


def test_a_quota_refuses_with_the_time_to_wait(served: Served) -> None:
    served.make("slow", quotas={"writes_per_second": 0.001, "burst": "2s"})
    first, second = (ask(f"{served.url}/v1/kv/put_items", {"namespace": "slow", **PUT}) for _ in range(2))
    assert first.status == 200
    assert (second.status, second.json["code"], second.json["retryable"]) == (429, "exhausted", True)
    assert 0 < second.json["retry_after_ms"] <= 1_000_000
    assert 1 <= int(second.headers["Retry-After"]) <= 1_000
    assert "writes_per_second" in second.json["detail"]
    assert ask(f"{served.url}/v1/kv/get_items", {"namespace": "slow", "id": "1"}).status == 200


def test_a_quota_of_one_namespace_is_none_of_another(served: Served) -> None:
    served.make("bounded", quotas={"writes_per_second": 0.001, "burst": "2s"})
    served.make("free")
    calls = [
        ask(f"{served.url}/v1/kv/put_items", {"namespace": name, **PUT}).status for name in ("bounded", "free") * 3
    ]
    assert calls == [200, 200, 429, 200, 429, 200]


def test_a_client_waits_as_it_is_told_and_succeeds(served: Served) -> None:
    served.make("patient", quotas={"writes_per_second": 2, "burst": "500ms"})
    flags = ("--namespace", "patient", "--id", "1", "--item", "a=b")
    assert ask(f"{served.url}/v1/kv/put_items", {"namespace": "patient", **PUT}).status == 200
    assert served.cli("kv", "put-items", *flags).code == 0


def test_a_name_that_leaves_the_stage_file_is_managed_by_api(tmp_path_factory: pytest.TempPathFactory) -> None:
    with Place(tmp_path_factory.mktemp("released")) as place:
        file = place.folder / "stage.toml"
        file.write_text('[namespaces.films]\nabstraction = "kv"\nconfig.rows_max = 500\n')
        put = ("kv", "put-items", "--namespace", "films", "--id", "1", "--item", "a=b")
        assert place.cli(*put, "--stage", "stage.toml").code == 0
        file.write_text("")
        (films,) = place.cli("namespaces", "list", "--stage", "stage.toml").json["namespaces"]
        assert (films["managed_by"], films["config"]["rows_max"], films["version"]) == ("api", 500, 2)


def test_the_name_of_a_token_stands_in_the_history(tmp_path_factory: pytest.TempPathFactory) -> None:
    with Place(tmp_path_factory.mktemp("audited")) as place:
        bearer = place.cli("tokens", "create", "--name", "ada", "--role", "admin").json["bearer"]
        url = place.start("up", "--port", "0", variables={"SOUNDSTAGE_AUTH__MODE": "tokens"}).ready()
        spec = {"namespace": {"name": "films", "abstraction": "kv"}}
        assert ask(f"{url}/v1/namespaces/put", spec, token=bearer).status == 200
        (change,) = ask(f"{url}/v1/namespaces/history", {"name": "films"}, token=bearer).json["changes"]
        assert change["by"] == "ada"
