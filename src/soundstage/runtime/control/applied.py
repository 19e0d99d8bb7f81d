"""Turns stored namespaces into what this process applies."""

from __future__ import annotations

import logging

from soundstage.core.errors import SoundstageError
from soundstage.core.namespace import NamespaceInfo
from soundstage.engines.records.port import Stamp
from soundstage.runtime.control.declaration import MEND, Declarations, cure_of
from soundstage.runtime.control.registry import Registry, Unserved, view_of
from soundstage.runtime.control.store import Found
from soundstage.runtime.service import Earlier

log: logging.Logger = logging.getLogger("soundstage.namespaces")


class Applied:
    """Keeps `registry` as stored; `stamps` tells which write of each namespace is applied.

    `doubtful`: what is stored has to be looked at, though nothing tells that it changed.
    """

    def __init__(self, registry: Registry, declarations: Declarations) -> None:
        self.registry = registry
        self.stamps: dict[str, Stamp] = {}
        self.doubtful: bool = False
        self._declarations = declarations

    @property
    def infos(self) -> dict[str, NamespaceInfo]:
        """The namespaces that are served, as stored."""
        return self.registry.infos

    @property
    def known(self) -> dict[str, NamespaceInfo]:
        """The same and those that this process cannot serve."""
        return self.registry.known

    @property
    def unserved(self) -> dict[str, Unserved]:
        """The namespaces that this process cannot serve, and why."""
        return self.registry.unserved

    def apply(self, found: Found) -> None:
        """Calls that begin from here on see it; one that cannot be served is refused with the reason."""
        info = found.stored.info
        if found.problem is not None:
            self._refuse(Unserved(info, found.problem, MEND), found)
            return
        try:
            declared = self._declarations.stored(info)
            earlier = tuple(
                Earlier(self._declarations.config(info.abstraction, each.config), each.until_us)
                for each in found.stored.earlier
            )
            view = view_of(info, declared.config, declared.records, earlier, found.stored.truncated)
            self.registry.apply(info, view)
        except SoundstageError as error:
            self._refuse(Unserved(info, error.detail, cure_of(info, error)), found)
        except Exception as error:
            # Whatever one namespace fails by, the others are served.
            log.exception("a namespace cannot be applied", extra={"namespace": info.name})
            self._refuse(Unserved(info, f"applying it fails by {type(error).__name__}: {error}", MEND), found)
        else:
            self.stamps[info.name] = found.stamp

    def _refuse(self, unserved: Unserved, found: Found) -> None:
        self.registry.refuse(unserved)
        log.error("%s", unserved, extra={"namespace": unserved.info.name})
        self.stamps[unserved.info.name] = found.stamp

    def forget(self, name: str) -> None:
        """Calls that begin from here on get `NotFound`."""
        self.registry.forget(name)
        self.stamps.pop(name, None)

    def doubt(self, name: str) -> None:
        """`forget` it until the follower has seen what became of it."""
        self.forget(name)
        self.doubtful = True
