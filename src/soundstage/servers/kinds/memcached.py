"""memcached, from Debian's package. Everything is in memory: a node that restarts is empty."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType

from soundstage.servers.kind import Launch, Node, Settings, Standalone, check_plain
from soundstage.servers.ports import answers
from soundstage.servers.programs import Program, Tool, Toolbox

PROGRAM = Program("memcached", ("memcached",), "usr/bin/memcached")


class Memcached(Standalone):
    """Nodes that know nothing of each other: the client spreads its keys.

    With `tls_pem`, a file with a key, its certificates and that of who signed them, TLS is spoken at the port `tls`,
    and with `tls_clients` `required` a client has to show a certificate of the same authority there. With `user`, who
    comes by either port has to log in as that one, with `password`; both are letters and digits.
    """

    name: str = "memcached"
    summary: str = "cache in memory"
    version: str = "Debian's (1.6)"
    ports: tuple[str, ...] = ("memcached", "tls")
    settings: Settings = MappingProxyType(
        {
            "memory_mb": "64",
            "threads": "2",
            "item_kb": "1024",
            "evicts": "true",
            "tls_pem": "",
            "tls_clients": "none",
            "user": "",
            "password": "secret",
        }
    )
    stop_within_s: float = 5.0
    # It has nothing to put away, and takes a second over it when asked politely.
    stop_signal: signal.Signals = signal.SIGKILL

    def install(self, toolbox: Toolbox) -> MemcachedKit:
        """See `Kind`."""
        return MemcachedKit(toolbox.program(PROGRAM))

    def ready(self, nodes: Sequence[Node]) -> bool:
        """See `Kind`."""
        return all(
            answers(node.host, node.port, b"version\r\n", b"CLIENT_ERROR" if node.settings["user"] else b"VERSION ")
            for node in nodes
        )


@dataclass(frozen=True)
class MemcachedKit:
    """The program as it was found or brought."""

    tool: Tool

    def launch(self, node: Node, nodes: Sequence[Node]) -> Launch:
        """See `Kit`. Root may not run it as itself unasked, so it becomes nobody, unless it has secrets to read."""
        settings = node.settings
        guard = (*_encryption(node), *_logins(node))
        user = ("-u", "root" if guard else "nobody") if os.geteuid() == 0 else ()
        where = ("-l", node.host, "-p", str(node.port), "-U", "0")
        if settings["tls_pem"]:
            where = ("-l", f"notls:{node.address},{node.host}:{node.ports['tls']}", "-U", "0")
        size = ("-m", settings["memory_mb"], "-t", settings["threads"])
        # Larger values are kept in chunks, of which none may be larger than a value.
        most = int(settings["item_kb"])
        values = ("-I", f"{most}k", "-o", f"slab_chunk_max={most * 512}")
        full = () if settings["evicts"] == "true" else ("-M",)
        return Launch((str(self.tool.path), *user, *where, *size, *values, *full, *guard), self.tool.variables)


def _encryption(node: Node) -> tuple[str, ...]:
    file = node.settings["tls_pem"]
    if not file:
        return ()
    mode = "2" if node.settings["tls_clients"] == "required" else "0"
    return ("-Z", "-o", f"ssl_chain_cert={file},ssl_key={file},ssl_ca_cert={file},ssl_verify_mode={mode}")


def _logins(node: Node) -> tuple[str, ...]:
    user, password = node.settings["user"], node.settings["password"]
    if not user:
        return ()
    check_plain("memcached", user=user, password=password)
    file = node.folder / "users"
    file.touch(mode=0o600)
    file.write_text(f"{user}:{password}\n")
    return ("-Y", str(file))
