"""Secrets are never in logs, errors, history, metrics, pages, or what `config` shows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from tests.e2e.processes import Ended, Place, Running
from tests.e2e.web import ask

pytestmark = pytest.mark.slow

PASSWORD = "hunter2-of-the-engine"
STAGE = """
[auth]
mode = "tokens"
[http]
port = 0
[telemetry]
log_level = "debug"
log_calls = true
[engines.other]
url = "memory:"
password_file = "password"
[namespaces.films]
abstraction = "kv"
"""


class Watched(NamedTuple):
    """All that a guarded stage said about calls with good and bad tokens, and the secrets it was given."""

    secrets: list[str]
    answers: list[str]
    logs: Ended


def secret_of(bearer: str) -> str:
    return bearer.removeprefix("sst_").partition("_")[2]


def asked(url: str, bearer: str) -> Iterator[str]:
    """What the stage says to callers with a good token, a damaged one and none."""
    calls = {
        "kv/put_items": {"namespace": "films", "id": "1", "items": [{"key": "YQ==", "value": "YQ=="}]},
        "kv/get_items": {"namespace": "nothing", "id": "1"},
        "tokens/list": {},
        "tokens/revoke": {"id": bearer},
        "tokens/create": {"name": bearer, "roles": ["read"]},
        "namespaces/put": {"namespace": {"name": "x", "abstraction": "kv", "config": {bearer: 1}}},
        "namespaces/history": {"name": "films"},
    }
    for path, message in calls.items():
        for token in (bearer, bearer[:-1], None):
            answer = ask(f"{url}/v1/{path}", message, token=token, headers={"X-Request-Id": "r1"})
            yield answer.body.decode() + str(answer.headers)
    for path in ("/metrics", "/status.json", "/", "/openapi.json", "/docs"):
        answer = ask(url + path, token=bearer)
        yield answer.body.decode() + str(answer.headers)
    yield ask(f"{url}/v1/kv/get_items?token={bearer}", {"namespace": "films"}).body.decode()


def administered(url: str, bearer: str) -> str:
    """A new token, made and revoked like a namespace beside it."""
    made = ask(f"{url}/v1/tokens/create", {"name": "visitor", "roles": ["read"]}, token=bearer).json["bearer"]
    ask(f"{url}/v1/tokens/revoke", {"id": "visitor"}, token=bearer)
    for config in ({}, {"rows_max": 500}):
        spec = {"name": "made", "abstraction": "kv", "config": config}
        ask(f"{url}/v1/namespaces/put", {"namespace": spec}, token=bearer)
    ask(f"{url}/v1/namespaces/delete", {"name": "made"}, token=bearer)
    return made


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    with Place(tmp_path_factory.mktemp("secrets")) as place:
        (place.folder / "stage.toml").write_text(STAGE)
        (place.folder / "password").write_text(PASSWORD)
        bearer = place.cli("tokens", "create", "--name", "ada", "--role", "admin", "--stage", "stage.toml").json[
            "bearer"
        ]
        stage: Running = place.start("up", "--stage", "stage.toml")
        url = stage.ready()
        answers = list(asked(url, bearer))
        answers += [_show(place, output) for output in ("table", "json", "jsonl")]
        secrets = [PASSWORD, secret_of(bearer), secret_of(administered(url, bearer))]
        yield Watched(secrets, answers, stage.stop())


def _show(place: Place, output: str) -> str:
    shown = [
        place.cli(*command, "--stage", "stage.toml", "--output", output)
        for command in (("config", "show"), ("engines", "list"))
    ]
    assert [each.code for each in shown] == [0, 0]
    return "".join(each.out + each.err for each in shown)


def test_no_answer_holds_a_secret(watched: Watched) -> None:
    """Not even of a token that was sent in the wrong place, and is quoted in the refusal."""
    assert len(watched.answers) > 25
    assert [text for text in watched.answers if any(secret in text for secret in watched.secrets)] == []


def test_no_line_of_the_log_holds_a_secret(watched: Watched) -> None:
    assert [line for line in watched.logs.err.splitlines() if any(secret in line for secret in watched.secrets)] == []


def test_the_log_tells_who_called_what_and_how_it_went(watched: Watched) -> None:
    lines = [json.loads(line) for line in watched.logs.err.splitlines()]
    calls = [line for line in lines if line["event"] == "call"]
    put = next(line for line in calls if line["operation"] == "put_items")
    assert (put["principal"], put["request_id"], put["outcome"]) == ("ada", "r1", "ok")
    assert put["took_us"] > 0
    assert {"time", "level", "logger"} <= put.keys()
    assert "not_found" in {line["outcome"] for line in calls}


def test_the_log_tells_who_changed_the_stage(watched: Watched) -> None:
    lines = [json.loads(line) for line in watched.logs.err.splitlines()]
    audited = [line for line in lines if line["logger"] == "soundstage.audit"]
    assert [(line["event"], line.get("namespace", line.get("token_name")), line["by"]) for line in audited] == [
        ("token created", "visitor", "ada"),
        ("token revoked", "visitor", "ada"),
        ("namespace created", "made", "ada"),
        ("namespace changed", "made", "ada"),
        ("namespace deleted", "made", "ada"),
    ]
    assert audited[3]["changed"] == ["config.rows_max"]
