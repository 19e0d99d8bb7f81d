"""An object of which a process keeps a copy, to answer its readers from.

Changes are judged as what they are, one after the other in the store. A reader sees the copy. It follows the store at
once, except where a change failed in a way that its process could not know: then until the process reads the store.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from soundstage.core.errors import Unavailable
from soundstage.testing.simulation.linearizer import Linearizer, Model
from soundstage.testing.simulation.scenario import Divergence, Site
from soundstage.testing.simulation.turn import aside

S = TypeVar("S", bound=Hashable)
Q = TypeVar("Q")
R = TypeVar("R", bound=Hashable)


class _Reader(Generic[S]):
    """One who has asked: what may be shown to it, and whether its process may have known less than there was."""

    def __init__(self, recent: set[S], *, doubtful: bool) -> None:
        self.recent = recent
        self.doubtful = doubtful


class Viewed(Generic[S, Q, R]):
    """One object; `looking` is the request that changes nothing and is answered with the state.

    `recent` are the states it may have had since its process certainly knew it; `doubtful`: since then a change may
    have been stored that the process did not learn of. What a reader may be shown depends on when it asked.
    """

    def __init__(self, state: S, model: Model[S, Q, R], looking: Q) -> None:
        self.recent: set[S] = {state}
        self.doubtful: bool = False
        self._looking = looking
        self._judge: Linearizer[S, Q, R] = Linearizer(state, model)
        self._readers: dict[int, _Reader[S]] = {}

    def begin(self, request: Q) -> int:
        """`request` is about to be sent."""
        number = self._judge.begin(request)
        # Only now are there more states than before; whatever is heard later leaves fewer.
        states = self._judge.states()
        self.recent |= states
        for reader in self._readers.values():
            reader.recent |= states
        return number

    def end(self, number: int, answer: R) -> None:
        """The change was answered so."""
        self._judge.end(number, answer)

    def lose(self, number: int) -> None:
        """Nobody knows what became of the change, and all requests of it have ended."""
        self._judge.lose(number)
        self.doubtful = True

    def refuse(self, number: int) -> None:
        """The change, or the look, did nothing."""
        self._judge.refuse(number)
        self._readers.pop(number, None)

    def look(self) -> int:
        """A reader is about to ask."""
        number = self.begin(self._looking)
        self._readers[number] = _Reader(set(self.recent), doubtful=self.doubtful)
        return number

    def show(self, number: int, answer: R, state: S, *, current: bool) -> None:
        """The reader was answered so, which is how `state` looks; `current` false when the process was exchanged."""
        reader = self._readers.pop(number)
        # A process that knew the store when it was asked shows what there was then, or since then.
        if current and not reader.doubtful:
            self._judge.end(number, answer)
            return
        self._judge.lose(number)
        if state not in reader.recent:
            raise Divergence(f"{state} was shown, and what there has been is {sorted(map(str, reader.recent))}")

    def refresh(self) -> None:
        """The process has read the store, and nobody changed it meanwhile."""
        self.recent, self.doubtful = self._judge.states(), False


async def undisturbed_round(site: Site, changes: Callable[[], int]) -> bool:
    """A round of what a process does every second, undisturbed; whether it then certainly knows what is stored.

    It does not while requests are under way, and when `changes`, which counts those that were begun, has grown.
    """
    network, host = site.network, site.host
    calm = not network.under_way and host.is_up
    before = changes(), host.restarts
    with aside():
        try:
            await host.stage.run_background()
        except Unavailable:
            return False
    return calm and host.is_up and before == (changes(), host.restarts)
