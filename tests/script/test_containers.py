"""The files for containers agree with the rest. What they build and start is not run here."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from soundstage.runtime.engines import SCHEMES
from soundstage.servers.catalogue import KINDS
from soundstage.servers.kinds import cassandra, kafka, opensearch, s3

ROOT = Path(__file__).resolve().parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text()


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_has_a_health_check_and_is_published_on_the_loopback_alone(name: str) -> None:
    assert SERVICES[name]["healthcheck"]["test"]
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name]["ports"])


@pytest.mark.parametrize("name", sorted(set(SERVICES) - {"stage"}))
def test_every_server_has_a_profile_of_a_kind_that_there_is(name: str) -> None:
    (profile,) = SERVICES[name]["profiles"]
    assert profile in {kind.name for kind in KINDS}
    assert name.startswith(profile)


def test_every_server_that_an_engine_speaks_to_has_a_profile() -> None:
    spoken_to = {part for scheme in SCHEMES for part in scheme.split("+")} & {kind.name for kind in KINDS}
    assert {profile for service in SERVICES.values() for profile in service.get("profiles", [])} == spoken_to


@pytest.mark.parametrize("name", sorted(set(SERVICES) - {"stage"}))
def test_every_image_has_a_version(name: str) -> None:
    assert re.search(r":\d+\.\d+", SERVICES[name]["image"])


def test_images_and_servers_are_of_one_version() -> None:
    assert SERVICES["cassandra"]["image"] == f"cassandra:{cassandra.VERSION}"
    assert SERVICES["kafka"]["image"] == f"apache/kafka:{kafka.VERSION}"
    assert SERVICES["opensearch"]["image"] == f"opensearchproject/opensearch:{opensearch.VERSION}"
    assert SERVICES["s3"]["image"] == f"motoserver/moto:{s3.VERSION}"


def test_every_volume_is_declared() -> None:
    used = {volume.partition(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])}
    assert used == set(COMPOSE["volumes"])


def test_no_two_services_are_published_on_one_port() -> None:
    ports = [port.split(":")[1] for service in SERVICES.values() for port in service["ports"]]
    assert len(ports) == len(set(ports))


def test_the_image_has_one_python_which_the_project_supports() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (version,) = set(re.findall(r"^FROM python:(\d+\.\d+)-slim", DOCKERFILE, re.MULTILINE))
    assert f"Programming Language :: Python :: {version}" in project["classifiers"]


def test_the_stage_runs_as_an_ordinary_user() -> None:
    instructions = [line.split()[0] for line in DOCKERFILE.splitlines() if re.match(r"[A-Z]+ ", line)]
    assert "USER soundstage" in DOCKERFILE
    assert instructions.index("USER") < instructions.index("ENTRYPOINT")


def test_what_the_image_copies_is_let_through_and_there() -> None:
    let_through = set(re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE))
    copied = {
        word for line in re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE) for word in line.split()
    }
    assert copied == let_through
    assert all((ROOT / name).exists() for name in copied)


def test_the_image_has_the_driver_of_every_engine() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    found = re.search(r'"\.\[(.+?)\]"', DOCKERFILE)
    assert found is not None
    # Published capacity models are no engine's, and have no release for the image's Python; charts are no engine's.
    assert found[1].split(",") == sorted(set(extras) - {"all", "testing", "capacity", "plot"})


def test_the_locks_constraints_are_read_as_the_image_reads_them() -> None:
    found = re.search(r"RUN (grep .+?) >constraints", DOCKERFILE)
    assert found is not None
    lines = subprocess.run(("sh", "-c", found[1]), cwd=ROOT, capture_output=True, text=True, check=True).stdout
    pins = [line for line in lines.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    assert len(pins) > 30
    assert all(re.match(r"[a-z0-9._-]+==\S+( ;.*)?$", line) for line in pins)
