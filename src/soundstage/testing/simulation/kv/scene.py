"""What all steps of a key-value run share: the site, the namespace, the history and its judge."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any, NamedTuple, TypeVar

from soundstage.core.errors import DeadlineExceeded, Exhausted, Unavailable
from soundstage.core.message import IdempotencyToken, Instant
from soundstage.data.kv.api import KeyValue
from soundstage.testing.simulation.kv.history import History, Write
from soundstage.testing.simulation.kv.judge import Judge, Moment
from soundstage.testing.simulation.kv.steps import KeyValueStep, Shape
from soundstage.testing.simulation.kv.worlds import Worlds
from soundstage.testing.simulation.scenario import Divergence, Site

NAMESPACE = "simulated"
DRIFT_PAST_US = 600_000_000
DRIFT_FUTURE_US = 2_000_000
CHUNK_THRESHOLD = 1_024
CHUNK_BYTES = 16_384
TRIES_MAX = 400
PATIENT_AFTER = 3
"""Tries, and pages, with the step's own deadline; further ones wait for their answer."""

REMEMBERED_MAX = 12
RETRY_S = 0.05

T = TypeVar("T")


class Watch(NamedTuple):
    """The beginning of a call; see `Scene.watch`."""

    began: int
    now_us: int
    clock_steps: int


class Sent(NamedTuple):
    """A write and the request that carries it, as often as it is sent; `source` is what a stream brings."""

    write: Write
    request: dict[str, Any]
    source: bytes | None = None


class Scene:
    """`remembered` are the acknowledged writes of each record that steps may send again, the latest last.

    `shapes` are those of deletes, by their tokens; `ledger` holds the conditional writes that passed, which no store
    may forget while its door takes their tokens.
    """

    def __init__(self, site: Site, random: Random) -> None:
        self.site = site
        self.history: History = History()
        self.judge: Judge = Judge(self.history)
        self.remembered: dict[str, deque[Sent]] = {}
        self.shapes: dict[str, Shape] = {}
        self.ledger: dict[tuple[str, str], Write] = {}
        self.config: dict[str, Any] = {
            "key_order": random.choice(("asc", "desc")),
            "dedicated": random.random() < 0.2,
            "conditional_writes": True,
            "chunk_threshold": f"{CHUNK_THRESHOLD}B",
            "chunk_bytes": f"{CHUNK_BYTES}B",
            **random.choice(_MARKERS),
        }
        self.clients: dict[tuple[int, float | None], KeyValue] = {}

    @property
    def descending(self) -> bool:
        """Whether records are read from their last key down, unless asked otherwise."""
        return self.config["key_order"] == "desc"

    def kv(self, step: KeyValueStep, *, deadline_s: float | None = None) -> KeyValue:
        """The client of the step."""
        key = (step.client, deadline_s)
        found = self.clients.get(key)
        if found is None:
            found = self.site.client(step.client, KeyValue, NAMESPACE)
            if deadline_s is not None:
                found = found.with_options(deadline=deadline_s)
            self.clients[key] = found
        return found

    def watch(self) -> Watch:
        """A call begins; what is certain now stays apart from what becomes so until `close`."""
        environment = self.site.environment
        return Watch(self.history.open(), environment.now_us(), environment.clock_steps)

    def same(self, watch: Watch) -> Watch:
        """Another watch over the same call, to be closed by itself."""
        return watch._replace(began=self.history.reopen(watch.began))

    def moment(self, watch: Watch) -> Moment:
        """The call that began with `watch` was answered between then and now."""
        environment, now_us = self.site.environment, self.site.environment.now_us()
        least_us, most_us = min(watch.now_us, now_us), max(watch.now_us, now_us)
        if environment.clock_steps != watch.clock_steps:
            reach_us = round(2e6 * self.site.climate.skew_s)
            least_us, most_us = least_us - reach_us, most_us + reach_us
        return Moment(watch.began, self.history.tick(), least_us, most_us)

    def close(self, watch: Watch, *records: str) -> None:
        """What `watch` began is judged."""
        self.history.close(watch.began, *records)

    async def ask(self, step: KeyValueStep, asked_before: int, question: Callable[[KeyValue], Awaitable[T]]) -> T:
        """The first answer that is no failure of the store. With a tight deadline a walk need never move on."""
        for tried in range(TRIES_MAX):
            kv = self.kv(step, deadline_s=step.deadline_s if asked_before + tried < PATIENT_AFTER else None)
            try:
                return await question(kv)
            except (Unavailable, DeadlineExceeded, Exhausted) as error:
                if error.field is not None:
                    raise Divergence(f"a read was refused: {error!r}") from error
                await self.pause(step)
        raise Divergence(f"no answer in {TRIES_MAX} tries")

    async def pause(self, step: KeyValueStep, seconds: float = RETRY_S) -> None:
        """The step's client waits."""
        await self.site.machine(step.client).environment.sleep(seconds)

    def token(self, step: KeyValueStep) -> IdempotencyToken:
        """A token of the step's client, which must beat all that the client has read."""
        machine = self.site.machine(step.client)
        seen_us, token = machine.seen_us, machine.clock.token()
        if time_of(token) <= seen_us:
            raise Divergence(f"client {step.client} has read a token of {seen_us} and made the older {token}")
        return token

    def certain(self, record: str) -> Worlds:
        """What is certain of a record at this moment."""
        now = self.history.events
        return Worlds(self.history.record(record), now, now)

    def remember(self, sent: Sent) -> None:
        """The write of `sent` was acknowledged, and may be sent again."""
        self.remembered.setdefault(sent.write.record, deque(maxlen=REMEMBERED_MAX)).append(sent)

    def recall(self, step: KeyValueStep) -> Sent | None:
        """An acknowledged write to the record of the step, all of whose requests have ended."""
        passage = self.site.network.passage
        found = [sent for sent in self.remembered.get(step.record, ()) if not passage(sent.write.token).under_way]
        return found[step.choice % len(found)] if found else None


def time_of(token: IdempotencyToken) -> int:
    """Microseconds of a token."""
    return int(token.generation_time) // 1_000


def token_at(time_us: int, token: str) -> IdempotencyToken:
    """The token of that text and time."""
    return IdempotencyToken(Instant(time_us * 1_000), token)


_MARKERS: tuple[dict[str, str], ...] = (
    {"delete_ttl_min": "1s", "delete_ttl_max": "20s"},
    {"delete_ttl_min": "10m", "delete_ttl_max": "20m"},
    {},
)
"""For how long markers are kept beyond what is safe."""
