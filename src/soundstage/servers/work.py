"""The clients of package registries, run as children while somebody is told what goes on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from soundstage.core.environment import Environment
from soundstage.core.errors import Unavailable
from soundstage.datasets.child import run_child
from soundstage.servers.shelf import Note

INSTALL_LIMIT_S = 900.0


class Work:
    """Runs commands in `folder` one after another; `note` hears of each and may raise to cancel."""

    def __init__(self, folder: Path, environment: Environment, note: Note) -> None:
        self.folder = folder
        self.note = note
        self.environment = environment

    def run(self, what: str, command: Sequence[str], variables: Mapping[str, str] | None = None) -> str:
        """What `command` printed, at most its end; `what` says in words what it does.

        Raises `Unavailable` with the client's own words when it cannot be started or fails, and
        `DeadlineExceeded` after 15 minutes.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        log = self.folder / "output.log"
        ended = run_child(
            command,
            folder=self.folder,
            log=log,
            time_limit_s=INSTALL_LIMIT_S,
            environment=self.environment,
            variables=dict(variables or {}),
            tick=lambda: self.note(what),
        )
        if ended.status != 0:
            raise Unavailable(
                f"{what} failed: {ended.reason()}",
                hint="look at the network, the client's configuration and the space on disk, and try again",
            )
        return log.read_text("utf-8", "replace")
