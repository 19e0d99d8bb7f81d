"""An object store that speaks S3: moto's server, from PyPI. Everything is in memory: one that restarts is empty.

It checks no credentials unless `checked_after` says after how many requests it begins to; until then users and their
keys are made through its IAM. Buckets are made by who wants them.
"""

from __future__ import annotations

import signal
from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType

from soundstage.servers.kind import Launch, Node, Settings, Standalone
from soundstage.servers.ports import answers
from soundstage.servers.programs import Toolbox
from soundstage.servers.wheels import Wheels, wheels

VERSION = "5.2.5"
ACCESS_KEY, SECRET_KEY, REGION = "test", "testsecret", "us-east-1"

_QUESTION = b"GET /moto-api/data.json HTTP/1.0\r\n\r\n"


class S3(Standalone):
    """One server; its credentials are `ACCESS_KEY` and `SECRET_KEY`."""

    name: str = "s3"
    summary: str = "objects in buckets, in memory"
    version: str = f"moto {VERSION}"
    nodes_max: int = 1
    ports: tuple[str, ...] = ("s3",)
    settings: Settings = MappingProxyType({"checked_after": ""})
    ready_within_s: float = 60.0
    stop_within_s: float = 5.0
    # It has nothing to put away.
    stop_signal: signal.Signals = signal.SIGKILL

    def install(self, toolbox: Toolbox) -> S3Kit:
        """See `Kind`. 30 MB of wheels."""
        return S3Kit(wheels(f"moto-{VERSION}", "s3.txt", toolbox))

    def ready(self, nodes: Sequence[Node]) -> bool:
        """See `Kind`."""
        return all(answers(node.host, node.port, _QUESTION, b"HTTP/1.") for node in nodes)

    def url(self, nodes: Sequence[Node]) -> str:
        """See `Kind`. The endpoint; an engine's URL is `s3://BUCKET/PREFIX?endpoint=` and this."""
        return f"http://{nodes[0].address}"


@dataclass(frozen=True)
class S3Kit:
    """The wheels."""

    wheels: Wheels

    def launch(self, node: Node, nodes: Sequence[Node]) -> Launch:
        """See `Kit`."""
        where = ("-H", node.host, "-p", str(node.port))
        checked = node.settings["checked_after"]
        variables = {**self.wheels.variables, **({"INITIAL_NO_AUTH_ACTION_COUNT": checked} if checked else {})}
        return Launch((self.wheels.python, "-m", "moto.server", *where), variables)
