from __future__ import annotations

import os
import pwd
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from soundstage.core.errors import Unavailable
from soundstage.servers.cluster import Cluster
from soundstage.servers.kind import Node
from soundstage.servers.kinds.postgresql import PROGRAM, PostgreSQL, PostgreSQLKit
from soundstage.servers.ports import answers
from soundstage.servers.programs import Tool, Toolbox
from soundstage.servers.shelf import Shelf

ASKED_FOR_A_PASSWORD = b"R\0\0\0\x17\0\0\0\x0a"
LET_IN = b"R\0\0\0\x08\0\0\0\0"

PARAMETERS = b"user\0postgres\0database\0postgres\0\0"
HELLO = (8 + len(PARAMETERS)).to_bytes(4, "big") + b"\0\3\0\0" + PARAMETERS


@pytest.mark.slow
def test_it_lets_everybody_in_and_keeps_its_files_when_it_is_killed() -> None:
    with Cluster("postgresql") as cluster:
        (node,) = cluster.nodes
        assert cluster.url == f"postgresql://postgres@{node.address}/postgres"
        assert answers(node.host, node.port, HELLO, LET_IN)
        made = (node.folder / "data" / "PG_VERSION").stat().st_mtime_ns
        cluster.restart()
        assert answers(node.host, node.port, HELLO, LET_IN)
        assert (node.folder / "data" / "PG_VERSION").stat().st_mtime_ns == made


@pytest.mark.slow
def test_it_asks_for_a_password_where_it_is_told_to() -> None:
    with Cluster("postgresql", settings={"auth": "scram-sha-256"}) as cluster:
        (node,) = cluster.nodes
        assert answers(node.host, node.port, HELLO, ASKED_FOR_A_PASSWORD)


ROOT, ADA, BOB = (SimpleNamespace(pw_uid=number) for number in (0, 1_000, 2_000))

WORKS, REFUSES = "exit 0", "echo $0: not permitted >&2; exit 1"
NAMESPACE = ("unshare", "--user", "--map-user=1000", "--map-group=1000")
OTHER_USER = ("setpriv", "--reuid=1000", "--regid=1000", "--clear-groups")


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Says what two programs come to on this machine, None being what they do, and who asks, where that matters."""
    folder = tmp_path / "bin"
    folder.mkdir()

    def machine(unshare: str, setpriv: str | None = WORKS, uid: int | None = None) -> None:
        for name, script in (("unshare", unshare), ("setpriv", setpriv)):
            if script is not None:
                (folder / name).write_text(f"#!/bin/sh\n{script}\n")
                (folder / name).chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
        if uid is not None:
            monkeypatch.setattr(os, "geteuid", lambda: uid)
            monkeypatch.setattr(pwd, "getpwall", lambda: [BOB, ROOT, ADA])

    return machine


@pytest.mark.parametrize(
    ("uid", "unshare", "begins"),
    [(0, WORKS, NAMESPACE), (0, REFUSES, OTHER_USER), (1_000, REFUSES, ("/bin/sh", "-c")), (3_000, WORKS, NAMESPACE)],
    ids=["root", "root without namespaces", "a user with a name", "a user without one"],
)
def test_it_runs_as_a_user_with_a_name_who_is_not_root(
    tmp_path: Path, machine: Callable[..., None], uid: int, unshare: str, begins: tuple[str, ...]
) -> None:
    node = Node(0, tmp_path, "127.0.0.1", {"postgresql": 25_432}, PostgreSQL.settings)
    kit = PostgreSQLKit(Tool(Path("/usr/lib/postgresql/15/bin/postgres")))
    machine(unshare, uid=uid)
    assert kit.launch(node, [node]).command[: len(begins)] == begins


@pytest.mark.parametrize(("uid", "setpriv"), [(0, REFUSES), (3_000, WORKS)], ids=["root", "a user without a name"])
def test_where_it_can_run_as_nobody_it_is_refused_before_anything_is_fetched(
    tmp_path: Path, machine: Callable[..., None], uid: int, setpriv: str
) -> None:
    machine(REFUSES, setpriv, uid)
    shelf = Shelf(tmp_path / "shelf")
    with pytest.raises(Unavailable, match="unshare: not permitted") as refused:
        PostgreSQL().install(Toolbox(shelf, lambda _: None))
    assert not refused.value.retryable
    assert all(word in str(refused.value.hint) for word in ("an ordinary user", "util-linux", "max_user_namespaces"))
    assert not shelf.folder.exists()


@pytest.mark.slow
def test_it_is_served_where_there_are_no_namespaces_of_users(machine: Callable[..., None]) -> None:
    machine(REFUSES, setpriv=None)
    with Cluster("postgresql") as cluster:
        (node,) = cluster.nodes
        assert answers(node.host, node.port, HELLO, LET_IN)
        cluster.restart()
        assert answers(node.host, node.port, HELLO, LET_IN)


def test_its_configuration_names_its_place(tmp_path: Path) -> None:
    node = Node(0, tmp_path, "127.0.0.1", {"postgresql": 25_432}, PostgreSQL.settings)
    PostgreSQLKit(Tool(Path("/usr/lib/postgresql/15/bin/postgres"))).launch(node, [node])
    written = (tmp_path / "server.conf").read_text()
    assert "port = 25432\n" in written
    assert f"hba_file = '{tmp_path}/data/pg_hba.conf'" in written


def test_it_is_found_where_debian_keeps_it() -> None:
    assert Path("usr/lib/postgresql/15/bin/postgres").match(PROGRAM.pattern)
