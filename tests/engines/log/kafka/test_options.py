"""What the URL of an engine on Kafka says."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import pytest

from soundstage.core.errors import InvalidArgument, Unauthenticated
from soundstage.engines.log.kafka.options import Address, KafkaOptions, client_settings, parse_address


def parsed(url: str, password_file: str | None = None, **options: object) -> Address:
    return parse_address("shared", urlsplit(url), options, password_file)


def test_brokers_have_the_usual_port_unless_they_say_another() -> None:
    assert parsed("kafka://one,two:19092").brokers == ("one:9092", "two:19092")
    assert parsed("kafka://[::1]:19092,[::2]").brokers == ("[::1]:19092", "[::2]:9092")


@pytest.mark.parametrize("url", ["kafka://", "kafka://one,", "kafka://one:x", "kafka:///topic", "kafka://one/topic"])
def test_what_names_no_broker_is_refused(url: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        parsed(url)
    assert refused.value.field == "engines.shared.url"


def test_options_stand_in_the_query_and_in_the_stage_file() -> None:
    found = parsed("kafka://one?space=films&linger_ms=2.5&replication=2&tls_names=false", compression="zstd")
    assert found.options == KafkaOptions(
        space="films", linger_ms=2.5, replication=2, tls_names=False, compression="zstd"
    )


@pytest.mark.parametrize(
    ("query", "field"),
    [("spice=a", "spice"), ("space=A", "space"), ("linger_ms=x", "linger_ms"), ("sasl=gssapi", "sasl")],
)
def test_an_option_that_is_none_is_refused_by_name(query: str, field: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        parsed(f"kafka://one?{query}")
    assert refused.value.field == f"engines.shared.options.{field}"


def test_a_user_logs_in_with_the_password_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text("secret\r\nrest")
    settings = client_settings(parsed("kafka://ada@one", str(path)))
    found = [settings[f"sasl.{name}"] for name in ("mechanism", "username", "password")]
    assert (found, settings["security.protocol"]) == (["SCRAM-SHA-512", "ada", "secret"], "sasl_plaintext")


def test_a_user_logs_in_with_the_password_of_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_PASSWORD", "secret")
    settings = client_settings(parsed("kafka://ada@one?password_env=KAFKA_PASSWORD"))
    assert (settings["sasl.username"], settings["sasl.password"]) == ("ada", "secret")


def test_a_user_without_a_password_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument):
        client_settings(parsed("kafka://ada@one"))
    with pytest.raises(Unauthenticated):
        client_settings(parsed("kafka://ada@one", str(tmp_path / "missing")))


def test_a_file_of_who_signs_turns_tls_on(tmp_path: Path) -> None:
    for name in ("ca", "cert", "key"):
        (tmp_path / name).write_text("pem")
    files = {f"tls_{name}": str(tmp_path / name) for name in ("ca", "cert", "key")}
    settings = client_settings(parsed("kafka://one", **files, tls_names=False))
    assert settings["security.protocol"] == "ssl"
    assert settings["ssl.key.location"] == files["tls_key"]
    assert settings["ssl.endpoint.identification.algorithm"] == "none"


def test_a_file_that_is_not_there_is_refused_by_the_option(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument) as refused:
        client_settings(parsed("kafka://one", tls_ca=str(tmp_path / "missing")))
    assert refused.value.field == "engines.options.tls_ca"


def test_without_tls_and_user_it_is_plain() -> None:
    settings = client_settings(parsed("kafka://one:19092"))
    assert (settings["bootstrap.servers"], settings["security.protocol"]) == ("one:19092", "plaintext")
