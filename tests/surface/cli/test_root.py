from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Sequence

import pytest
from tests.surface.cli.conftest import Cli

from soundstage import __version__
from soundstage.surface.cli.root import settled, wants_json

HEAVY = {
    "asyncio", "cyclopts", "httpx2", "jinja2", "opentelemetry", "prometheus_client", "rich", "rocksdict", "structlog",
    "uvicorn", "uvloop", "zstandard",
}  # fmt: skip

HELP_CPU_S_MAX = 0.3

HELP_SHARE_MAX = 3.0
"""Of what loading some large modules of Python takes, which tells slow machines from slow commands."""

LARGE_MODULES = "asyncio, http.client, email.message, json, logging, argparse, decimal, dataclasses, unittest.mock"

MEASURE = """
import sys
sys.argv = ["soundstage", *{arguments!r}]
from soundstage.surface.cli import main
try:
    main()
finally:
    print(*sys.modules, file=sys.stderr)
"""


def modules(*arguments: str) -> set[str]:
    """The modules that a command loads."""
    code = MEASURE.format(arguments=arguments)
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    return set(run.stderr.splitlines()[-1].split())


def cpu_s(*command: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, capture_output=True, check=True, timeout=60)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.mark.parametrize("arguments", [(), ("--help",), ("-h",), ("--version",)])
def test_the_front_page_loads_nothing_heavy(arguments: Sequence[str]) -> None:
    assert {name.partition(".")[0] for name in modules(*arguments)} & HEAVY == set()


def least_cpu_s(*arguments: str) -> float:
    """The least of three counts: the first fills caches."""
    return min(cpu_s(sys.executable, *arguments) for _ in range(3))


def test_the_front_page_takes_less_than_300_ms_of_cpu() -> None:
    spent = least_cpu_s("-m", "soundstage", "--help")
    assert spent < max(HELP_CPU_S_MAX, HELP_SHARE_MAX * least_cpu_s("-c", f"import {LARGE_MODULES}"))


def test_the_measure_sees_what_is_not_cheap() -> None:
    code = f"import time\nwhile time.process_time() < {HELP_CPU_S_MAX}: pass"
    assert least_cpu_s("-c", code) >= HELP_CPU_S_MAX


def test_the_help_of_an_operation_loads_no_driver_and_no_server() -> None:
    loaded = modules("kv", "put-items", "--help")
    assert {"rocksdict", "uvicorn", "prometheus_client", "structlog"} & loaded == set()
    assert not any(name.startswith(("soundstage.engines", "soundstage.surface.http")) for name in loaded)


@pytest.mark.parametrize("arguments", [("--help",), ("-h",), ()])
def test_the_module_is_the_command(arguments: Sequence[str]) -> None:
    run = subprocess.run([sys.executable, "-m", "soundstage", *arguments], capture_output=True, text=True, timeout=60)
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.startswith("Usage: soundstage COMMAND")


def test_the_version_is_told() -> None:
    run = subprocess.run([sys.executable, "-m", "soundstage", "--version"], capture_output=True, text=True, timeout=60)
    assert run.stdout == f"soundstage {__version__}\n"


def test_a_reader_that_has_enough_is_no_error() -> None:
    command = f"{sys.executable} -m soundstage config default --output jsonl | head -n 1; echo ${{PIPESTATUS[0]}}"
    run = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60)
    assert run.stderr == ""
    assert run.stdout.splitlines()[-1] in {"0", "141"}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["kvv"], "there is no command 'kvv' (did you mean 'kv'?)"),
        (["zzz"], "there is no command 'zzz' (see soundstage --help)"),
        (["kv", "put-item"], "there is no command 'put-item' (did you mean 'put-items'?)"),
        (["kv", "put-items", "--idd", "1"], "unknown option: --idd. Did you mean --id?"),
        (["kv", "put-items", "--id"], "parameter --id requires an argument"),
        (["kv", "get-items", "stray"], "'stray' belongs to no flag (see soundstage kv get-items --help)"),
        (["kv", "scan-items", "--segment", "x"], "invalid value for --segment"),
        (["kv", "get-items", "--output", "xml"], 'invalid value "xml" for --output'),
        (["up", "--output", "yaml"], 'invalid value "yaml" for --output'),
        (["up", "--port", "http"], "invalid value for --port"),
    ],
)
def test_a_wrong_call_is_one_line_and_exits_with_2(cli: Cli, arguments: list[str], says: str) -> None:
    ended = cli(*arguments)
    assert ended.code == 2
    assert ended.out == ""
    assert ended.err.startswith("soundstage: ")
    assert ended.err.count("\n") == 1
    assert says in ended.err


def test_an_unknown_command_loads_none_to_find_out_what_is_meant() -> None:
    assert {"uvloop", "rocksdict", "soundstage.surface.cli.up"} & modules("zzz") == set()


def test_a_wrong_call_is_a_problem_where_json_is_wanted(cli: Cli) -> None:
    ended = cli("kv", "put-items", "--output", "json", "--idd", "1")
    assert ended.code == 2
    assert ended.problem["code"] == "invalid_argument"
    assert "--idd" in ended.problem["detail"]


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["--output", "json"], True),
        (["kv", "--output=jsonl"], True),
        (["--output", "table"], False),
        (["--output"], False),
        (["json"], False),
        ([], False),
    ],
)
def test_whether_json_is_wanted_is_told_from_any_arguments(arguments: list[str], wanted: bool) -> None:
    assert wants_json(arguments) is wanted


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--url", "http://x", "kv", "get-items"], ["kv", "get-items", "--url", "http://x"]),
        (["--output=json", "--data", "d", "kv"], ["kv", "--output=json", "--data", "d"]),
        (["kv", "--url", "http://x"], ["kv", "--url", "http://x"]),
        (["--url"], ["--url"]),
        ([], []),
    ],
)
def test_global_flags_may_stand_before_the_command(arguments: list[str], expected: list[str]) -> None:
    assert settled(arguments) == expected


def test_completion_is_written_where_asked(cli: Cli, tmp_path: object) -> None:
    ended = cli("--install-completion", "--shell", "bash", "--file", f"{tmp_path}/completion")
    assert ended.code == 0
    with open(ended.out.strip()) as file:
        script = file.read()
    assert "put-items" in script
    assert "--namespace" in script


def test_completion_that_cannot_be_written_is_told(cli: Cli, tmp_path: object) -> None:
    ended = cli("--install-completion", "--shell", "bash", "--file", f"{tmp_path}")
    assert ended.code == 2
    assert "cannot be written" in ended.err


def test_the_configuration_of_a_command_is_not_mistaken_for_its_failure(cli: Cli) -> None:
    ended = cli("config", "default", "--output", "json")
    assert ended.code == 0
    assert "http.port" in {key["key"] for key in json.loads(ended.out)["keys"]}
