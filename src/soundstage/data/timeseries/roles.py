"""The role that makes time slices ahead of their events, and drops those whose time is over."""

from __future__ import annotations

import logging

from soundstage.core.errors import NotFound, SoundstageError
from soundstage.data.timeseries.service import TimeSeriesService
from soundstage.runtime.leases import LeaseLost
from soundstage.runtime.roles import Role, RoleContext

log: logging.Logger = logging.getLogger("soundstage.timeseries")

PAUSE_S = 5.0
"""Between two rounds over all namespaces, each of which costs a look-up or two."""


async def tend_namespaces(context: RoleContext) -> None:
    """One round over all namespaces. One that fails keeps no other from its turn."""
    service = context.service
    assert isinstance(service, TimeSeriesService)

    def check() -> None:
        if context.lease is not None:
            context.lease.check()

    for name in service.names():
        check()
        try:
            await service.tend(name, check)
        except NotFound:
            # Deleted meanwhile.
            continue
        except LeaseLost:
            raise
        except SoundstageError as error:
            log.warning("time slices could not be tended", extra={"namespace": name, "reason": str(error)})


async def _tend(context: RoleContext) -> None:
    while True:
        await context.environment.sleep(PAUSE_S)
        await tend_namespaces(context)


ROLES: list[Role] = [Role(name="timeseries-slices", run=_tend, kind="one")]
