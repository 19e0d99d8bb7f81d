"""Access tokens under simulation: a name has one token at a time, whoever makes and revokes it, under faults.

A name is judged as one object whose state is the token that holds it. The number of the step that made a token is in
the time at which it expires, so that one whose answer was lost is known when it is listed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from random import Random
from typing import Literal, NamedTuple, TypeAlias, get_args

from soundstage.core.credential import TokenInfo
from soundstage.core.errors import (
    AlreadyExists,
    DeadlineExceeded,
    Exhausted,
    NotFound,
    SoundstageError,
    Unavailable,
)
from soundstage.core.time import NS_PER_S, Duration
from soundstage.runtime.tokens.api import Tokens
from soundstage.testing.simulation.scenario import SYSTEM_TABLES, Divergence, Play, Scenario, Site, Step
from soundstage.testing.simulation.viewed import Viewed, undisturbed_round

Act: TypeAlias = Literal["create", "revoke", "revoke_known", "list", "poll"]
_WEIGHTS = (30, 12, 14, 34, 10)

NAMES = ("one", "other", "third")
LIVES_S = 100_000_000
"""Longer than any run; a token lives as many seconds longer as its step's number says."""


class TokenStep(Step, frozen=True, kw_only=True, tag="tokens"):
    """One call about the token called `name`, which the host has `deadline_s` for."""

    act: Act
    name: str
    deadline_s: float | None = None


class Create(NamedTuple):
    number: int


class Revoke(NamedTuple):
    """By name, or the token of that step by its id."""

    number: int | None


class Look(NamedTuple):
    """Which token there is, and no change."""


Request: TypeAlias = Create | Revoke | Look
State: TypeAlias = int | None
"""The number of the step that made the token; None: the name is free."""

Answer: TypeAlias = str | tuple[str, int]


def model(state: State, request: Request) -> Iterable[tuple[State, Answer]]:
    """What `tokens` promises of one name."""
    if isinstance(request, Create):
        return [(request.number, ("made", request.number)) if state is None else (state, "exists")]
    if state is None or (isinstance(request, Revoke) and request.number not in (None, state)):
        return [(state, "not_found")]
    return [(state, ("held", state))] if isinstance(request, Look) else [(None, ("gone", state))]


class TokensPlay:
    """Judges each answer about each name."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._names: dict[str, Viewed[State, Request, Answer]] = {name: Viewed(None, model, Look()) for name in NAMES}
        self._known: dict[str, TokenInfo] = {}
        self._changes = 0

    async def prepare(self) -> None:
        """A stage has its tokens from the start."""

    async def play(self, step: TokenStep) -> None:
        known = self._known.get(step.name)
        match step.act:
            case "create":
                await self._create(step)
            case "revoke":
                await self._revoke(step, None)
            case "revoke_known":
                await self._revoke(step, known)
            case "list":
                await self._list(step)
            case "poll":
                await self._poll()

    async def settle(self) -> None:
        await self._poll()
        await self._list(TokenStep(number=-1, client=0, act="list", name=NAMES[0]))

    async def _create(self, step: TokenStep) -> None:
        name, tokens = self._names[step.name], self._client(step)
        number = name.begin(Create(step.number))
        self._changes += 1
        lives = Duration((LIVES_S + step.number) * NS_PER_S)
        try:
            reply = await tokens.create(name=step.name, roles=["read"], expires_in=lives)
        except SoundstageError as error:
            await self._failed(step, number, error)
            return
        name.end(number, ("made", _number_of(reply.info)))
        self._known[step.name] = reply.info
        self._site.note("created")

    async def _revoke(self, step: TokenStep, known: TokenInfo | None) -> None:
        name, tokens = self._names[step.name], self._client(step)
        number = name.begin(Revoke(None if known is None else _number_of(known)))
        self._changes += 1
        try:
            reply = await tokens.revoke(id=step.name if known is None else known.id)
        except SoundstageError as error:
            await self._failed(step, number, error)
            return
        name.end(number, ("gone", _number_of(reply.info)))
        self._site.note("revoked")

    async def _failed(self, step: TokenStep, number: int, error: SoundstageError) -> None:
        """A change was refused, or nobody knows."""
        passage, name = self._site.network.passage(_request_id(step)), self._names[step.name]
        while passage.under_way:
            await self._site.environment.sleep(0.05)
        if passage.uncertain:
            name.lose(number)
            self._site.note("uncertain")
        elif isinstance(error, Unavailable | DeadlineExceeded | Exhausted):
            name.refuse(number)
            self._site.note("refused")
        else:
            name.end(number, _answer_of(error))
            self._site.note("outdated")

    async def _list(self, step: TokenStep) -> None:
        """Each name has one token, the one that it must have; the pages are small."""
        numbers = {which: name.look() for which, name in self._names.items()}
        restarts, shown = self._site.host.restarts, list[TokenInfo]()
        try:
            async for page in self._client(step).list.pages(page_size=2):
                shown += page.tokens
        except (Unavailable, DeadlineExceeded, Exhausted):
            for which, number in numbers.items():
                self._names[which].refuse(number)
            return
        self._check_form(shown)
        held = {info.name: info for info in shown}
        for which, number in numbers.items():
            info = held.get(which)
            state = None if info is None else _number_of(info)
            answer: Answer = "not_found" if state is None else ("held", state)
            self._names[which].show(number, answer, state, current=restarts == self._site.host.restarts)
        self._known.update(held)

    def _check_form(self, shown: list[TokenInfo]) -> None:
        ids = [info.id for info in shown]
        if ids != sorted(set(ids)):
            raise Divergence(f"the list of tokens has the ids {ids}")
        if stray := {info.name for info in shown} - set(NAMES):
            raise Divergence(f"the list of tokens has the names {stray}, which nobody gave")

    async def _poll(self) -> None:
        """What a process does every second, undisturbed; it knows what is stored, if nobody changed it meanwhile."""
        if await undisturbed_round(self._site, lambda: self._changes):
            for name in self._names.values():
                name.refresh()

    def _client(self, step: TokenStep) -> Tokens:
        client = self._site.client(step.client, Tokens)
        return client.with_options(retries=0, request_id=_request_id(step), deadline=step.deadline_s)


def _request_id(step: TokenStep) -> str:
    return f"step-{step.number}"


def _number_of(info: TokenInfo) -> int:
    assert info.expires_at is not None
    return (info.expires_at - info.created_at) // NS_PER_S - LIVES_S


def _answer_of(error: SoundstageError) -> Answer:
    if isinstance(error, AlreadyExists):
        return "exists"
    if isinstance(error, NotFound):
        return "not_found"
    raise error


class TokensScenario:
    """See `soundstage.testing.simulation.scenario`."""

    system = "tokens"
    spared: frozenset[str] = SYSTEM_TABLES - {"system/tokens"}
    situations: Mapping[str, float] = {"created": 0.05, "revoked": 0.05, "outdated": 0.05, "uncertain": 0.001}

    def draw(self, random: Random, number: int, client: int) -> TokenStep:
        return TokenStep(
            number=number,
            client=client,
            pause_s=random.choice((0.0, 0.0, 0.001, 0.01)),
            act=random.choices(get_args(Act), _WEIGHTS)[0],
            name=random.choice(NAMES),
            deadline_s=random.choice((0.002, 0.05)) if random.random() < 0.08 else None,
        )

    def open(self, site: Site, random: Random) -> Play:
        return TokensPlay(site)


SCENARIO: Scenario = TokensScenario()
