"""Rounds of roles over namespaces: one that fails keeps no other from its turn."""

from __future__ import annotations

import logging
from collections.abc import Generator
from contextlib import contextmanager

from soundstage.core.errors import NotFound, SoundstageError
from soundstage.runtime.leases import LeaseLost


@contextmanager
def turn_of(namespace: str | None, failure: str, log: logging.Logger) -> Generator[None]:
    """A `SoundstageError` within ends the block and is logged as `failure`; `LeaseLost` ends the round as well.

    A namespace that is not there any more was deleted meanwhile, of which nothing is logged. None: it is about no
    namespace in particular.
    """
    try:
        yield
    except LeaseLost:
        raise
    except SoundstageError as error:
        if namespace is None:
            log.warning(failure, extra={"reason": str(error)})
        elif not isinstance(error, NotFound):
            log.warning(failure, extra={"namespace": namespace, "reason": str(error)})
