"""PostgreSQL, from Debian's packages. What it acknowledged survives that it is killed, but no disk is waited for.

PostgreSQL refuses to run as root, and as a user of whom the machine has no name. For those it runs in a namespace of
users where its files, and it, are somebody's whom it knows: so no user is made, nothing changes hands, and everything
may lie in root's own folders. Where there are no such namespaces, as in many containers, root runs it as somebody else
who keeps the right to root's files.
"""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from soundstage.core.errors import Unavailable
from soundstage.servers.kind import Launch, Node, Settings, Standalone
from soundstage.servers.ports import answers
from soundstage.servers.programs import Program, Tool, Toolbox

PROGRAM = Program("postgres", ("postgresql",), "usr/lib/postgresql/*/bin/postgres")
USER, PASSWORD = "postgres", "postgres"

TRIED_S = 30.0

_RIGHT_TO_FILES = ("--inh-caps=+dac_override", "--ambient-caps=+dac_override")

_START = (
    '[ -f data/PG_VERSION ] || "$0/initdb" -D data -U {user} -A "$1" --pwfile=password -E UTF8 --locale=C --no-sync'
    ' >initdb.log 2>&1 || {{ cat initdb.log; exit 1; }}; exec "$0/postgres" -D data -c config_file="$PWD/server.conf"'
)
_CONFIGURATION = """listen_addresses = '{host}'
port = {port}
unix_socket_directories = ''
hba_file = '{folder}/data/pg_hba.conf'
ident_file = '{folder}/data/pg_ident.conf'
max_connections = {connections}
shared_buffers = 32MB
dynamic_shared_memory_type = mmap
fsync = off
full_page_writes = off
wal_level = logical
timezone = 'GMT'
log_timezone = 'GMT'
autovacuum_naptime = 10s
"""

# The key has to be nobody else's, so what is named is copied.
_ENCRYPTION = """ssl = on
ssl_cert_file = '{file}'
ssl_key_file = '{file}'
ssl_ca_file = '{file}'
"""

# Version 3.0, user and database postgres; the answer begins an authentication, or is an error while it is starting.
_PARAMETERS = b"user\0postgres\0database\0postgres\0\0"
_QUESTION = (8 + len(_PARAMETERS)).to_bytes(4, "big") + (3 << 16).to_bytes(4, "big") + _PARAMETERS


class PostgreSQL(Standalone):
    """Servers that know nothing of each other. With `auth` scram-sha-256 the password is `PASSWORD`.

    `tls_pem` names a file with a key, its certificates and that of who signed them: clients may then use TLS at the
    same port, and those that show a certificate show one of the same authority.
    """

    name: str = "postgresql"
    summary: str = "tables and transactions"
    version: str = "Debian's (15 or newer)"
    ports: tuple[str, ...] = ("postgresql",)
    settings: Settings = MappingProxyType({"auth": "trust", "connections": "50", "tls_pem": ""})
    ready_within_s: float = 60.0
    stop_within_s: float = 20.0
    # Ends sessions, and then itself in good order.
    stop_signal: signal.Signals = signal.SIGINT

    def install(self, toolbox: Toolbox) -> PostgreSQLKit:
        """See `Kind`. Raises `Unavailable`, too, where PostgreSQL would not run for who asks."""
        _as_somebody()
        return PostgreSQLKit(toolbox.program(PROGRAM))

    def ready(self, nodes: Sequence[Node]) -> bool:
        """See `Kind`."""
        return all(answers(node.host, node.port, _QUESTION, b"R") for node in nodes)

    def url(self, nodes: Sequence[Node]) -> str:
        """See `Kind`. Of the first node, for one client speaks to one."""
        return f"postgresql://{USER}@{nodes[0].address}/postgres"


@dataclass(frozen=True)
class PostgreSQLKit:
    """The program as it was found or brought; initdb is beside it."""

    tool: Tool

    def launch(self, node: Node, nodes: Sequence[Node]) -> Launch:
        """See `Kit`. The first start of a folder makes the database."""
        settings = {"folder": node.folder, "connections": node.settings["connections"]}
        configuration = _CONFIGURATION.format(host=node.host, port=node.port, **settings)
        tls_pem = node.settings["tls_pem"]
        if tls_pem:
            configuration += _ENCRYPTION.format(file=_own(Path(tls_pem), node.folder / "tls.pem"))
        (node.folder / "server.conf").write_text(configuration)
        (node.folder / "password").write_text(f"{PASSWORD}\n")
        run = ("/bin/sh", "-c", _START.format(user=USER), str(self.tool.path.resolve().parent), node.settings["auth"])
        return Launch((*_as_somebody(), *run), self.tool.variables)


def _own(file: Path, copy: Path) -> Path:
    """`copy` holds what `file` does, and nobody else may read it."""
    copy.unlink(missing_ok=True)
    copy.touch(mode=0o600)
    copy.write_bytes(file.read_bytes())
    return copy


def _as_somebody() -> tuple[str, ...]:
    """What a command begins with for it to run as a user who is not root and has a name; empty where this one is.

    Raises `Unavailable` where there is no way to that.
    """
    named = {each.pw_uid for each in pwd.getpwall()}
    me = os.geteuid()
    if me != 0 and me in named:
        return ()
    somebody = min(named - {0}, default=1_000)
    ways: list[tuple[str, ...]] = [("unshare", "--user", f"--map-user={somebody}", f"--map-group={somebody}")]
    if me == 0:
        ways.append(("setpriv", f"--reuid={somebody}", f"--regid={somebody}", "--clear-groups", *_RIGHT_TO_FILES))
    reasons: list[str] = []
    for way in ways:
        reason = _refusal(way)
        if not reason:
            return way
        reasons.append(reason)
    raise Unavailable(
        f"PostgreSQL runs neither as root nor as a user without a name, and here as nobody else: {'; '.join(reasons)}",
        hint="run it as an ordinary user who has a name here; or install util-linux (unshare, setpriv) and let this "
        "system make namespaces of users: sysctl user.max_user_namespaces and kernel.unprivileged_userns_clone, and "
        "in a container its seccomp profile, decide that",
        retryable=False,
    )


def _refusal(way: tuple[str, ...]) -> str:
    """Why nothing can be run in that way; empty where it can."""
    try:
        tried = subprocess.run((*way, "true"), capture_output=True, text=True, timeout=TRIED_S, check=False)
    except (OSError, subprocess.SubprocessError) as error:
        return f"{way[0]} does not run: {error}"
    said = tried.stderr.strip() or f"{way[0]} ended with {tried.returncode}"
    return said if tried.returncode else ""
