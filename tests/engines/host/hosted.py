"""An engine, the server that offers it and the way to it over the socket, started and stopped as one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from soundstage.core.environment import Environment
from soundstage.engines.host import HostEngine, HostServer


class Hosted:
    """The calls of `engine` as another process makes them, though all is in this one."""

    def __init__(self, engine: Any, port: str, folder: Path, environment: Environment) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.behind = engine
        self.path = folder / "HOST"
        self.server = HostServer({(port, "default"): engine}, self.path, environment)
        self.host: Any = HostEngine(self.path, port, "default", environment)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.host, name)

    async def start(self) -> None:
        await self.behind.start()
        await self.server.start()
        await self.host.start()

    async def stop(self) -> None:
        await self.host.stop()
        await self.server.stop()
        await self.behind.stop()
