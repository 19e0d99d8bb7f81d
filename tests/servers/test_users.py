"""Servers run for whoever asks: for root, as whom the suites may run themselves, and for ordinary users.

Who is an ordinary user here is one in a namespace of users: of another number, without root's rights, and the owner of
what the owner of these files owns. One has a name on this machine, as most have, and one has none, as in a container.
"""

from __future__ import annotations

import os
import pwd
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

NAMELESS = 54_321
NAMES = ("LOGNAME", "USER", "LNAME", "USERNAME")

PROGRAM = """
import os, sys
from soundstage.servers import Cluster
with Cluster(sys.argv[1]):
    print(os.geteuid(), "is served")
"""


def somebody() -> int:
    return min(each.pw_uid for each in pwd.getpwall() if each.pw_uid != 0)


SMALL = ("memcached", "postgresql", "redis", "s3", "temporal")
LARGE = ("cassandra", "kafka", "opensearch")
"""Of these, whoever is served without a name is served with one."""


@pytest.mark.parametrize(
    ("kind", "named"), [*((kind, True) for kind in SMALL), *((kind, False) for kind in (*SMALL, *LARGE))]
)
def test_an_ordinary_user_is_served(kind: str, named: bool) -> None:
    uid = somebody() if named else NAMELESS
    assert NAMELESS not in {each.pw_uid for each in pwd.getpwall()}
    run = subprocess.run(
        ("unshare", "--user", f"--map-user={uid}", f"--map-group={uid}", sys.executable, "-c", PROGRAM, kind),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        env={name: value for name, value in os.environ.items() if name not in NAMES},
    )
    assert run.stdout == f"{uid} is served\n", run.stderr


def test_root_who_can_be_nobody_else_is_told_what_to_do_for_postgresql() -> None:
    # Within this namespace there are no further ones, and root is the only user.
    alone = 'echo 0 >/proc/sys/user/max_user_namespaces && exec "$@"'
    run = subprocess.run(
        ("unshare", "--user", "--map-root-user", "sh", "-c", alone, "sh", sys.executable, "-c", PROGRAM, "postgresql"),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert run.stdout == ""
    assert "Unavailable: PostgreSQL runs neither as root nor" in run.stderr
