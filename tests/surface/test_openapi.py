"""The description of a stage: that it is OpenAPI 3.1, that it is complete, and that it is true."""

from __future__ import annotations

import re
from typing import Any

import jsonschema_rs
import pytest
from schemathesis.specs.openapi.definitions import OPENAPI_31_VALIDATOR
from tests.runtime.conftest import NOTES
from tests.surface.http.asgi_client import Caller

from soundstage import __version__
from soundstage.catalogue import SYSTEMS
from soundstage.core.errors import ERRORS
from soundstage.core.limits import check_deadline
from soundstage.core.operation import Operation
from soundstage.runtime.config import HttpConfig
from soundstage.runtime.stage import Stage
from soundstage.surface.http.app import Application
from soundstage.surface.http.files import is_file_path
from soundstage.surface.http.head import Head
from soundstage.surface.openapi import document


@pytest.fixture
def described(stage: Stage) -> dict[str, Any]:
    return document(stage)


def calls(described: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The operations by path; files are sent to no operation."""
    return {
        path: methods["post"]
        for path, methods in described["paths"].items()
        if "post" in methods and not is_file_path(path)
    }


def references(value: Any) -> set[str]:
    if isinstance(value, dict):
        own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set[str]()
        return own.union(*(references(each) for each in value.values()))
    return set[str]().union(*(references(each) for each in value)) if isinstance(value, list) else set()


class TestValidity:
    def test_it_is_openapi_3_1(self, described: dict[str, Any]) -> None:
        assert described["openapi"].startswith("3.1.")
        found = OPENAPI_31_VALIDATOR.iter_errors(described)
        assert [f"{error.instance_path}: {error.message}" for error in found] == []

    @pytest.mark.parametrize(
        ("part", "wrong"), [("openapi", "3.0.3"), ("paths", {"v1": {}}), ("extra", 1), ("info", {"title": "x"})]
    )
    def test_the_check_finds_what_is_not(self, described: dict[str, Any], part: str, wrong: Any) -> None:
        assert not OPENAPI_31_VALIDATOR.is_valid({**described, part: wrong})

    def test_every_schema_is_one(self, described: dict[str, Any]) -> None:
        for schema in described["components"]["schemas"].values():
            jsonschema_rs.validator_for({**schema, "components": described["components"]})

    def test_every_reference_leads_to_a_schema_and_every_schema_is_referred_to(self, described: dict[str, Any]) -> None:
        named = {f"#/components/schemas/{name}" for name in described["components"]["schemas"]}
        assert references(described) == named

    def test_operation_ids_are_unique(self, described: dict[str, Any]) -> None:
        ids = [operation["operationId"] for path in described["paths"].values() for operation in path.values()]
        assert len(set(ids)) == len(ids)

    def test_every_tag_is_explained(self, described: dict[str, Any]) -> None:
        used = {tag for path in described["paths"].values() for operation in path.values() for tag in operation["tags"]}
        assert used == {tag["name"] for tag in described["tags"]}


def operations_in(stage: Stage) -> list[Operation[..., Any]]:
    return [bound.operation for bound in stage.operations().values()]


class TestCompleteness:
    def test_every_operation_of_the_stage_is_there(self, stage: Stage, described: dict[str, Any]) -> None:
        declared = {(operation.path, operation.method.lower()) for operation in operations_in(stage)}
        methods = {(path, method) for path, found in described["paths"].items() for method in found}
        assert declared <= methods
        assert set(calls(described)) == {path for path, method in declared if method == "post"}

    def test_every_system_is_a_tag_with_its_summary(self, described: dict[str, Any]) -> None:
        told = {tag["name"]: tag["description"] for tag in described["tags"]}
        assert {system.name: system.summary for system in (*SYSTEMS, NOTES)}.items() <= told.items()

    def test_every_operation_says_what_it_does(self, described: dict[str, Any]) -> None:
        assert all(operation["summary"] and operation["description"] for operation in calls(described).values())

    def test_it_has_the_version_of_the_package(self, described: dict[str, Any]) -> None:
        assert described["info"]["version"] == __version__

    def test_errors_are_those_declared_and_those_that_any_call_may_meet(self, described: dict[str, Any]) -> None:
        responses = calls(described)["/v1/kv/put_items"]["responses"]
        assert set(responses) == {
            "200",
            "400",
            "403",
            "404",
            "409",
            "412",
            "413",
            "415",
            "422",
            "429",
            "500",
            "503",
            "504",
        }
        assert "`token_drift`" in responses["422"]["description"]
        assert "`token_reused`" in responses["422"]["description"]

    def test_a_read_meets_no_error_of_keys(self, described: dict[str, Any]) -> None:
        assert "409" not in calls(described)["/v1/kv/get_items"]["responses"]

    def test_both_formats_are_offered_for_request_reply_and_problem(self, described: dict[str, Any]) -> None:
        operation = calls(described)["/v1/kv/get_items"]
        assert set(operation["requestBody"]["content"]) == {"application/json", "application/msgpack"}
        assert set(operation["responses"]["200"]["content"]) == {"application/json", "application/msgpack"}
        assert set(operation["responses"]["404"]["content"]) == {"application/problem+json", "application/msgpack"}

    def test_keys_are_for_calls_without_a_token_of_their_own(self, described: dict[str, Any]) -> None:
        keyed = {
            path
            for path, operation in calls(described).items()
            if any(parameter["name"] == "Idempotency-Key" for parameter in operation["parameters"])
        }
        assert "/v1/notes/disturb" in keyed
        assert "/v1/namespaces/put" in keyed
        assert not keyed & {"/v1/kv/put_items", "/v1/kv/get_items", "/v1/notes/write"}

    def test_the_codes_of_problems_are_all_errors(self, described: dict[str, Any]) -> None:
        assert described["components"]["schemas"]["Problem"]["properties"]["code"]["enum"] == sorted(ERRORS)

    @pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/metrics", "/status.json"])
    async def test_what_else_is_served_is_described(self, stage: Stage, described: dict[str, Any], path: str) -> None:
        answer = await Caller(Application(stage, HttpConfig())).ask(path)
        told = described["paths"][path]["get"]["responses"][str(answer.status)]
        assert answer.headers["content-type"].partition(";")[0] in told["content"]


class TestFeeds:
    FEED = "/v1/jobs/watch"

    def test_a_feed_is_followed_by_get_too_with_its_fields_in_the_query(self, described: dict[str, Any]) -> None:
        post, get = described["paths"][self.FEED]["post"], described["paths"][self.FEED]["get"]
        assert "requestBody" not in get
        assert {each["name"] for each in get["parameters"] if each["in"] == "query"} == {"job_id", "cursor"}
        assert get["operationId"] != post["operationId"]

    def test_its_messages_come_as_lines_or_as_events(self, described: dict[str, Any]) -> None:
        content = calls(described)[self.FEED]["responses"]["200"]["content"]
        assert set(content) == {"application/x-ndjson", "text/event-stream"}
        event = {"id": "1", "data": "{}"}
        assert jsonschema_rs.validator_for(content["text/event-stream"]["schema"]).is_valid(event)

    def test_it_goes_on_after_a_header(self, described: dict[str, Any]) -> None:
        assert "Last-Event-ID" in {each["name"] for each in calls(described)[self.FEED]["parameters"]}


class TestTruth:
    @pytest.mark.parametrize("text", ["250ms", "10s", "15m", "36h", "16d", "1.5s"])
    def test_time_outs_that_the_schema_allows_are_read(self, described: dict[str, Any], text: str) -> None:
        (schema,) = [
            parameter["schema"]
            for parameter in calls(described)["/v1/kv/get_items"]["parameters"]
            if parameter["name"] == "Soundstage-Timeout"
        ]
        assert jsonschema_rs.validator_for(schema).is_valid(text)
        check_deadline(text)

    @pytest.mark.parametrize("name", ["X-Request-Id", "traceparent", "Idempotency-Key"])
    def test_examples_of_headers_are_valid_and_read(self, described: dict[str, Any], name: str) -> None:
        (header,) = [
            parameter for parameter in calls(described)["/v1/namespaces/put"]["parameters"] if parameter["name"] == name
        ]
        assert jsonschema_rs.validator_for(header["schema"]).is_valid(header["example"])
        head = Head([(name.lower().encode(), header["example"].encode())])
        assert header["example"] in (head.own_request_id(), head.trace_parent(), head.key())

    def test_the_example_of_a_problem_is_one(self, described: dict[str, Any]) -> None:
        problem = described["components"]["schemas"]["Problem"]
        jsonschema_rs.validator_for(problem).validate(problem["examples"][0])

    @pytest.mark.parametrize("code", ERRORS)
    def test_every_problem_fits_its_schema(self, described: dict[str, Any], code: str) -> None:
        error = ERRORS[code]("wrong", field="a.b", hint="mend it", retry_after_ms=5, outcome="unknown")
        jsonschema_rs.validator_for(described["components"]["schemas"]["Problem"]).validate(error.problem("r-1"))

    async def test_what_is_served_is_the_same(self, stage: Stage, described: dict[str, Any]) -> None:
        assert (await Caller(Application(stage, HttpConfig())).ask("/openapi.json")).json() == described


class TestSecurity:
    def test_an_open_stage_asks_for_nothing(self, described: dict[str, Any]) -> None:
        assert described["security"] == []
        assert "401" not in calls(described)["/v1/kv/get_items"]["responses"]

    async def test_a_guarded_one_asks_for_a_bearer_but_for_health(self) -> None:
        async with Stage.open(data="memory:", config={"auth": {"mode": "tokens"}}) as stage:
            described = document(stage)
        assert described["security"] == [{"token": []}]
        refused = calls(described)["/v1/kv/get_items"]["responses"]["401"]
        assert "WWW-Authenticate" in refused["headers"]
        assert described["paths"]["/health/live"]["get"]["security"] == []
        assert "401" in described["paths"]["/metrics"]["get"]["responses"]

    def test_what_an_operation_needs_is_told(self, described: dict[str, Any]) -> None:
        needs = {path: operation["x-access"] for path, operation in calls(described).items()}
        assert (needs["/v1/kv/get_items"], needs["/v1/namespaces/put"]) == ("read", "admin")

    def test_headers_are_named_as_they_are_written(self, described: dict[str, Any]) -> None:
        names = {each["name"] for operation in calls(described).values() for each in operation["parameters"]}
        assert all(re.fullmatch(r"[A-Za-z-]+", name) for name in names)
