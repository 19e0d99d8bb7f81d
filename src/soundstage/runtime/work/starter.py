"""On whose behalf a job is carried out: whoever started it, with the grants they have now."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from soundstage.core.call import LOCAL, Access, Principal
from soundstage.core.errors import Unauthenticated
from soundstage.runtime.access import authorise
from soundstage.runtime.work.store import Stored


class Starters:
    """Recognises who started jobs.

    `granted` gives who has the token of an id, as far as this process knows, and `follow` makes that known which other
    processes did.
    """

    def __init__(self, granted: Callable[[str], Principal | None], follow: Callable[[], Awaitable[None]]) -> None:
        self._granted = granted
        self._follow = follow

    async def found(self, stored: Stored) -> Principal:
        """As `of`, and the token may have been made by another process just now."""
        if stored.owner and not LOCAL.owns(stored.owner) and self._granted(stored.owner) is None:
            await self._follow()
        return self.of(stored)

    def of(self, stored: Stored) -> Principal:
        """Who the job is carried out for.

        Raises `Unauthenticated` when the token that it was started with was revoked, and `Forbidden` when that does
        not grant what the operation takes. A token that has expired meanwhile was good when the job was started, and
        who came without a token keeps the grants of then.
        """
        if LOCAL.owns(stored.owner):
            return LOCAL
        found = self._granted(stored.owner) if stored.owner else Principal(stored.info.created_by, stored.grants)
        if found is None:
            raise Unauthenticated(
                "the access token with which the job was started was revoked", hint="start it again with another"
            )
        access: Access = stored.access  # pyright: ignore[reportAssignmentType]
        authorise(found, access, stored.info.namespaces, f"{stored.info.system}/{stored.info.operation}")
        return found
