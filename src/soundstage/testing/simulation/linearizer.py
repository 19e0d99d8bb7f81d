"""Whether the answers of an object that many use at once could be those of one that is used by one after the other.

For objects with a state that fits into a value. A model says what each request would do to a state and answer. A
request takes its effect at one moment between its beginning and its end; one whose sender never learnt what became of
it takes it at any later moment, or never. The linearizer keeps every state that is possible, each with the answers of
requests that have taken effect in it and are not over; an answer that is in none of them is a divergence.

    counter = Linearizer(0, lambda state, amount: [(state + amount, state + amount)])
    first, second = counter.begin(1), counter.begin(2)
    counter.end(second, 3)      # so the first came before it
    counter.end(first, 1)
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import Generic, NamedTuple, TypeAlias, TypeVar

from soundstage.testing.simulation.scenario import Divergence

S = TypeVar("S", bound=Hashable)
Q = TypeVar("Q")
R = TypeVar("R", bound=Hashable)

Model: TypeAlias = Callable[[S, Q], Iterable[tuple[S, R]]]
"""The states and answers that a request may lead to from a state; more than one where it is free to choose."""

POSSIBLE_MAX = 20_000
"""More possibilities than these are a fault of the scenario: it leaves too many requests unknown."""


class _Possible(NamedTuple, Generic[S]):
    """A state, and the answers of the requests under way that have had their effect."""

    state: S
    answers: frozenset[tuple[int, Hashable]]


class Linearizer(Generic[S, Q, R]):
    """One object. `begin` each request, and then `end` it, `lose` it or `refuse` it."""

    def __init__(self, state: S, model: Model[S, Q, R]) -> None:
        self._model = model
        self._possible: set[_Possible[S]] = {_Possible(state, frozenset())}
        self._under_way: dict[int, Q] = {}
        self._begun = 0

    def begin(self, request: Q) -> int:
        """`request` may take effect from here on; returns its number."""
        self._begun += 1
        self._under_way[self._begun] = request
        return self._begun

    def end(self, number: int, answer: R) -> None:
        """The request has taken effect, and was answered so. Raises `Divergence` where that cannot be."""
        reached = {each for each in self._reachable() if (number, answer) in each.answers}
        if not reached:
            raise Divergence(self._explain(number, answer))
        self._drop(number, reached)

    def lose(self, number: int) -> None:
        """The request has taken effect or has not, nobody knows; it does nothing any more."""
        self._drop(number, self._reachable())

    def refuse(self, number: int) -> None:
        """The request has done nothing and does nothing any more. Raises `Divergence` if its effect was seen."""
        untouched = {
            each for each in self._possible if not any(each_number == number for each_number, _ in each.answers)
        }
        if not untouched:
            raise Divergence(f"{self._under_way[number]!r} was refused, and its effect was seen")
        self._drop(number, untouched)

    def states(self) -> set[S]:
        """Every state that the object may be in now."""
        return {each.state for each in self._reachable()}

    def _reachable(self) -> set[_Possible[S]]:
        """What is possible now, whichever requests under way have taken effect, in whatever order."""
        found, last = set(self._possible), list(self._possible)
        while last:
            following = [next for each in last for next in self._next(each) if next not in found]
            found.update(following)
            if len(found) > POSSIBLE_MAX:
                raise RuntimeError(f"over {POSSIBLE_MAX} possibilities: {len(self._under_way)} requests are under way")
            last = list(dict.fromkeys(following))
        return found

    def _next(self, possible: _Possible[S]) -> Iterator[_Possible[S]]:
        done = {number for number, _ in possible.answers}
        for number, request in self._under_way.items():
            if number not in done:
                for state, answer in self._model(possible.state, request):
                    yield _Possible(state, possible.answers | {(number, answer)})

    def _drop(self, number: int, possible: Iterable[_Possible[S]]) -> None:
        del self._under_way[number]
        self._possible = {
            _Possible(each.state, frozenset(answer for answer in each.answers if answer[0] != number))
            for each in possible
        }

    def _explain(self, number: int, answer: R) -> str:
        answers = {answer for each in self._reachable() for its_number, answer in each.answers if its_number == number}
        states = sorted(map(repr, {each.state for each in self._possible}))
        others = [repr(request) for other, request in self._under_way.items() if other != number]
        return (
            f"{self._under_way[number]!r} was answered with {answer!r}, which can only be "
            f"{' or '.join(sorted(map(repr, answers)))}; the state before was {' or '.join(states)}"
            + (f", and under way are {', '.join(others)}" if others else "")
        )
