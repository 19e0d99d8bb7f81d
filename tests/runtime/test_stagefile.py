from __future__ import annotations

from pathlib import Path

import pytest

from soundstage.core.errors import InvalidArgument
from soundstage.core.size import Size
from soundstage.core.time import Duration
from soundstage.runtime.stagefile import load_config

S = 1_000_000_000


def write(folder: Path, text: str) -> Path:
    path = folder / "stage.toml"
    path.write_text(text)
    return path


def test_without_anything_the_default_engine_is_in_the_data_folder() -> None:
    config = load_config().config
    assert config.data == "./soundstage-data"
    assert config.engines["default"].url == "rocksdb:records"


def test_data_in_memory_makes_the_default_engine_a_memory_engine() -> None:
    assert load_config(flags={"data": "memory:"}).config.engines["default"].url == "memory:"


def test_a_default_engine_of_the_file_is_kept() -> None:
    config = load_config(tree={"engines": {"default": {"url": "memory:"}, "other": {"url": "rocksdb:b"}}}).config
    urls = {name: engine.url for name, engine in config.engines.items()}
    assert urls == {"blobs": "file:blobs", "default": "memory:", "other": "rocksdb:b"}


def test_files_may_have_an_engine_of_another_name() -> None:
    config = load_config(tree={"engines": {"mine": {"url": "file:x"}}, "files": {"engine": "mine"}}).config
    assert set(config.engines) == {"default", "mine"}


def test_a_stage_in_memory_has_its_files_there() -> None:
    assert load_config(tree={"data": "memory:"}).config.engines["blobs"].url == "memory:"


def test_the_file_is_read_with_its_units(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        """
        [control]
        poll_interval = "250ms"
        [engines.default]
        url = "memory:"
        cache = "64MiB"
        [http]
        port = 8080
        """,
    )
    config = load_config(path).config
    assert config.control.poll_interval == Duration(S // 4)
    assert config.engines["default"].cache == Size(64 << 20)
    assert config.http.port == 8080


def test_flags_go_before_environment_before_file_before_default(tmp_path: Path) -> None:
    path = write(tmp_path, '[http]\nport = 1\nhost = "file"\nidle_timeout = "9s"\n')
    loaded = load_config(
        path,
        variables={"SOUNDSTAGE_HTTP__PORT": "2", "SOUNDSTAGE_HTTP__HOST": "environment"},
        flags={"http.port": 3, "http.host": None},
    )
    assert (loaded.config.http.port, loaded.config.http.host) == (3, "environment")
    assert loaded.source("http.port") == "flag --port"
    assert loaded.source("http.host") == "environment SOUNDSTAGE_HTTP__HOST"
    assert loaded.source("http.idle_timeout") == str(path)
    assert loaded.source("http.max_body") == "default"


@pytest.mark.parametrize(
    ("variable", "text", "key", "value"),
    [
        ("SOUNDSTAGE_HTTP__INSECURE", "true", "http.insecure", True),
        ("SOUNDSTAGE_ADMISSION__IN_FLIGHT", "17", "admission.in_flight", 17),
        ("SOUNDSTAGE_CONTROL__POLL_INTERVAL", "2s", "control.poll_interval", Duration(2 * S)),
        ("SOUNDSTAGE_DATA", "123", "data", "123"),
        ("SOUNDSTAGE_HTTP__TLS__CERTIFICATE", "true", "http.tls.certificate", "true"),
        ("SOUNDSTAGE_DEFAULTS__QUOTAS__IN_FLIGHT", "9", "defaults.quotas.in_flight", 9),
    ],
)
def test_a_variable_is_read_as_its_key_says(variable: str, text: str, key: str, value: object) -> None:
    found: object = load_config(variables={variable: text}).config
    for name in key.split("."):
        found = getattr(found, name)
    assert found == value


def test_a_variable_reaches_into_tables_with_names_of_the_user() -> None:
    loaded = load_config(
        tree={"engines": {"my-disk": {"url": "rocksdb:a"}}},
        variables={"SOUNDSTAGE_ENGINES__MY_DISK__URL": "rocksdb:b", "SOUNDSTAGE_ENGINES__NEW__URL": "memory:"},
    )
    assert loaded.config.engines["my-disk"].url == "rocksdb:b"
    assert loaded.config.engines["new"].url == "memory:"


def test_a_variable_sets_options_without_a_declared_type() -> None:
    loaded = load_config(
        variables={"SOUNDSTAGE_ENGINES__A__URL": "memory:", "SOUNDSTAGE_ENGINES__A__OPTIONS__THREADS": "3"}
    )
    assert loaded.config.engines["a"].options == {"threads": 3}


def test_variables_that_are_not_of_the_stage_file_are_left_alone_and_told() -> None:
    loaded = load_config(variables={"SOUNDSTAGE_URL": "http://x", "SOUNDSTAGE_PORT": "tcp://10.0.0.1:1", "PATH": "/"})
    assert loaded.ignored == ["SOUNDSTAGE_PORT", "SOUNDSTAGE_URL"]


def test_a_mistyped_variable_names_the_nearest() -> None:
    with pytest.raises(InvalidArgument) as caught:
        load_config(variables={"SOUNDSTAGE_HTTP__PROT": "1"})
    assert caught.value.field == "SOUNDSTAGE_HTTP__PROT"
    assert "SOUNDSTAGE_HTTP__PORT" in str(caught.value.hint)


def test_a_variable_below_a_plain_key_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="sets no known key"):
        load_config(variables={"SOUNDSTAGE_HTTP__PORT__NUMBER": "1"})


def test_an_unknown_key_names_the_nearest_and_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, "[http]\nprot = 1\n")
    with pytest.raises(InvalidArgument) as caught:
        load_config(path)
    assert caught.value.field == "http.prot"
    assert "port" in str(caught.value.hint)
    assert str(path) in caught.value.detail


def test_an_unknown_table_is_refused() -> None:
    with pytest.raises(InvalidArgument) as caught:
        load_config(tree={"htpp": {"port": 1}})
    assert caught.value.field == "htpp"


@pytest.mark.parametrize(
    ("tree", "field"),
    [
        ({"http": {"port": 70_000}}, "http.port"),
        ({"http": {"port": "x"}}, "http.port"),
        ({"control": {"poll_interval": "1us"}}, "control.poll_interval"),
        ({"control": {"poll_interval": "2h"}}, "control.poll_interval"),
        ({"control": {"poll_interval": "soon"}}, "control.poll_interval"),
        ({"http": {"max_body": "1B"}}, "http.max_body"),
        ({"engines": {"a": {"url": "memory:", "cache": "1kB"}}}, "engines.a.cache"),
        ({"engines": {"a": {}}}, "engines.a"),
        ({"auth": {"mode": "maybe"}}, "auth.mode"),
        ({"defaults": {"quotas": {"burst": "2h"}}}, "defaults.quotas.burst"),
        ({"defaults": {"slos": {"read": {"latency": {"max": "2h"}}}}}, "defaults.slos.read.latency.max"),
        ({"namespaces": {"x": {"abstraction": "kv", "quotas": {"in_flight": 0}}}}, "namespaces.x.quotas.in_flight"),
        (
            {
                "namespaces": {
                    "fine": {"abstraction": "kv", "slos": {"read": {}}},
                    "x": {"abstraction": "kv", "slos": {"read": {}, "write": {"latency": {"mxa": "1s"}}}},
                }
            },
            "namespaces.x.slos.write.latency.mxa",
        ),
    ],
)
def test_what_is_out_of_bounds_or_of_another_type_names_its_key(tree: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        load_config(tree=tree)
    assert (caught.value.field or "").startswith(field)


def test_a_password_in_a_url_is_refused_without_being_repeated() -> None:
    with pytest.raises(InvalidArgument) as caught:
        load_config(tree={"engines": {"a": {"url": "cassandra://me:hunter2@host/k"}}})
    assert "hunter2" not in str(caught.value.problem())
    assert "password_file" in str(caught.value.hint)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="cannot be read: No such file"):
        load_config(tmp_path / "none.toml")


def test_a_file_that_is_no_toml_is_named_with_the_place(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match=r"is no TOML: .*line 1"):
        load_config(write(tmp_path, "port = = 1"))


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "stage.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidArgument, match="is no TOML"):
        load_config(path)


def test_an_empty_variable_counts_for_nothing() -> None:
    loaded = load_config(variables={"SOUNDSTAGE_DATA": "", "SOUNDSTAGE_HTTP__PORT": ""})
    assert loaded.config == load_config().config
    assert loaded.sources == {}


@pytest.mark.parametrize(
    ("data", "urls"),
    [(None, ("rocksdb:records", "file:blobs")), ("memory:", ("memory:", "memory:"))],
)
def test_an_engine_that_needs_no_line_needs_no_url_in_one(data: str | None, urls: tuple[str, str]) -> None:
    variables = {"SOUNDSTAGE_ENGINES__DEFAULT__CACHE": "64MiB", "SOUNDSTAGE_ENGINES__BLOBS__LOW_WATER": "1MiB"}
    config = load_config(variables=variables, flags={"data": data}).config
    assert (config.engines["default"].url, config.engines["blobs"].url) == urls
    assert str(config.engines["default"].cache) == "64MiB"


def test_other_engines_do() -> None:
    with pytest.raises(InvalidArgument) as refused:
        load_config(tree={"engines": {"fast": {"cache": "64MiB"}}})
    assert refused.value.field == "engines.fast.url"
