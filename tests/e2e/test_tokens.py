"""Access tokens from the first one to their end, as an operator makes them and callers use them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from tests.e2e.conftest import Start
from tests.e2e.processes import Place
from tests.e2e.web import Answer, ask

pytestmark = pytest.mark.slow

AUTH = {"SOUNDSTAGE_AUTH__MODE": "tokens"}


def made(place: Place, name: str, *flags: str) -> str:
    """A new token, made on the stage's folder."""
    ended = place.cli("tokens", "create", "--name", name, *flags)
    assert ended.code == 0, ended.err
    return ended.json["bearer"]


class Guarded(NamedTuple):
    """A stage with authentication and two namespaces, and tokens made before its first start."""

    place: Place
    url: str
    tokens: dict[str, str]

    def post(self, path: str, message: Any, name: str | None) -> Answer:
        """The answer to a call with the token of that name."""
        return ask(self.url + path, message, token=None if name is None else self.tokens[name])


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    with Place(tmp_path_factory.mktemp("guarded")) as place:
        tokens = {
            "admin": made(place, "admin", "--role", "admin"),
            "writer": made(place, "writer", "--role", "write", "--namespace", "films"),
            "reader": made(place, "reader", "--role", "read", "--namespace", "fi*"),
            "observer": made(place, "observer", "--role", "observe"),
        }
        (place.folder / "stage.toml").write_text(
            '[auth]\nmode = "tokens"\n[http]\nport = 0\n'
            '[namespaces.films]\nabstraction = "kv"\n[namespaces.users]\nabstraction = "kv"\n'
        )
        yield Guarded(place, place.start("up", "--stage", "stage.toml").ready(), tokens)


def test_a_token_made_before_the_first_start_works_then_and_after_it(place: Place) -> None:
    bearer = made(place, "root", "--role", "admin")
    for _ in range(2):
        stage = place.start("up", "--port", "0", variables=AUTH)
        url = stage.ready()
        assert ask(f"{url}/v1/namespaces/list", {}).status == 401
        assert ask(f"{url}/v1/namespaces/list", {}, token=bearer).json == {"namespaces": []}
        assert stage.stop().code == 0


def test_a_token_is_shown_once_and_kept_nowhere(guarded: Guarded) -> None:
    secret = guarded.tokens["admin"].removeprefix("sst_").partition("_")[2].encode()
    listed = guarded.post("/v1/tokens/list", {}, "admin")
    assert "admin" in {each["name"] for each in listed.json["tokens"]}
    assert secret not in listed.body
    files = [path for path in (guarded.place.folder / "soundstage-data").rglob("*") if path.is_file()]
    assert len(files) > 3
    assert [path.name for path in files if secret in path.read_bytes()] == []


def test_with_authentication_only_health_is_open(guarded: Guarded) -> None:
    url = guarded.url
    described = ask(f"{url}/openapi.json", token=guarded.tokens["admin"]).json["paths"]
    calls = {path: guarded.post(path, {}, None).status for path in described if path.startswith("/v1/")}
    assert calls["/v1/kv/get_items"] == 401
    assert set(calls.values()) == {401}
    pages = ["/metrics", "/openapi.json", "/docs", "/", "/status.json", "/console/kv/get_items.json", "/nothing"]
    assert [ask(url + path).status for path in pages] == [401] * len(pages)
    assert [ask(f"{url}/health/{name}").status for name in ("live", "ready")] == [200, 200]


def test_a_refusal_says_what_to_do(guarded: Guarded) -> None:
    answer = guarded.post("/v1/kv/get_items", {"namespace": "films", "id": "1"}, None)
    assert (answer.status, answer.json["code"]) == (401, "unauthenticated")
    assert "Bearer" in answer.json["hint"]
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert answer.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("name", ["observer", "admin"])
def test_metrics_are_for_observers(guarded: Guarded, name: str) -> None:
    assert ask(f"{guarded.url}/metrics", token=guarded.tokens[name]).status == 200


@pytest.mark.parametrize("name", ["reader", "writer"])
def test_metrics_are_not_for_others(guarded: Guarded, name: str) -> None:
    assert ask(f"{guarded.url}/metrics", token=guarded.tokens[name]).json["code"] == "forbidden"


def test_metrics_on_a_listener_of_their_own_are_open_and_nothing_else_is_there(start: Start) -> None:
    stage = start("up", "--port", "0", "--metrics-listen", "127.0.0.1:0", variables=AUTH)
    metrics = stage.line("metrics ").split()[1]
    stage.ready()
    assert ask(metrics).status == 200
    base = metrics.removesuffix("/metrics")
    assert ask(f"{base}/health/ready").status == 200
    assert [ask(base + path).status for path in ("/", "/openapi.json", "/status.json", "/docs")] == [404] * 4
    assert ask(f"{base}/v1/namespaces/list", {}).status in {404, 405}


def test_a_token_does_what_its_roles_allow_where_they_hold(guarded: Guarded) -> None:
    put = {"id": "1", "items": [{"key": "YQ==", "value": "YQ=="}]}
    get = {"id": "1"}
    expected = {
        ("writer", "put_items", "films"): 200,
        ("writer", "get_items", "films"): 200,
        ("writer", "put_items", "users"): 403,
        ("writer", "get_items", "users"): 403,
        ("reader", "get_items", "films"): 200,
        ("reader", "put_items", "films"): 403,
        ("reader", "get_items", "users"): 403,
        ("observer", "get_items", "films"): 403,
        ("admin", "put_items", "users"): 200,
    }
    found = {
        (name, operation, namespace): guarded.post(
            f"/v1/kv/{operation}", {"namespace": namespace, **(put if operation == "put_items" else get)}, name
        ).status
        for name, operation, namespace in expected
    }
    assert found == expected


def test_only_admins_administer(guarded: Guarded) -> None:
    made = {"namespace": {"name": "films2", "abstraction": "kv"}}
    for name in ("writer", "reader", "observer"):
        assert guarded.post("/v1/tokens/list", {}, name).status == 403
        assert guarded.post("/v1/namespaces/put", made, name).status == 403
    assert guarded.post("/v1/tokens/list", {}, "admin").status == 200


def test_a_reader_sees_the_namespaces_that_it_may_read(guarded: Guarded) -> None:
    listed = guarded.post("/v1/namespaces/list", {}, "reader").json["namespaces"]
    assert [each["name"] for each in listed] == ["films"]


def test_a_revoked_token_works_no_more(guarded: Guarded) -> None:
    made = guarded.post("/v1/tokens/create", {"name": "short-lived", "roles": ["read"]}, "admin").json
    get = {"namespace": "films", "id": "1"}
    assert ask(f"{guarded.url}/v1/kv/get_items", get, token=made["bearer"]).status == 200
    ended = guarded.place.cli(
        "tokens", "revoke", "--id", "short-lived", "--url", guarded.url, "--token", guarded.tokens["admin"]
    )
    assert (ended.code, ended.json["info"]["name"]) == (0, "short-lived")
    assert ask(f"{guarded.url}/v1/kv/get_items", get, token=made["bearer"]).status == 401


@pytest.mark.parametrize("token", ["sst_", "x", "sst_0_x", "sst_00000000000000000000_AAAA"])
def test_what_is_no_token_is_refused_alike(guarded: Guarded, token: str) -> None:
    answer = ask(f"{guarded.url}/v1/namespaces/list", {}, token=token)
    assert (answer.status, answer.json["code"]) == (401, "unauthenticated")


def test_the_command_line_takes_a_token_from_flag_variable_or_file(guarded: Guarded) -> None:
    place, bearer = guarded.place, guarded.tokens["admin"]
    (place.folder / "token").write_text(bearer + "\n")
    listing = ("tokens", "list", "--url", guarded.url)
    assert place.cli(*listing).code == 1
    assert place.cli(*listing, "--token", "@token").code == 0
    assert place.cli(*listing, variables={"SOUNDSTAGE_TOKEN_FILE": "token"}).code == 0
    assert place.cli(*listing, variables={"SOUNDSTAGE_TOKEN": bearer}).code == 0


def test_on_the_folder_of_a_guarded_stage_a_token_is_wanted_too(guarded: Guarded) -> None:
    refused = guarded.place.cli("tokens", "list", "--stage", "stage.toml")
    assert refused.code == 1
    assert f"talking to it at {guarded.url}" in refused.err
    assert "SOUNDSTAGE_TOKEN" in refused.err
    assert guarded.place.cli("tokens", "list", "--stage", "stage.toml", "--token", guarded.tokens["admin"]).code == 0
