"""The clients that engines on one cluster share: made by the first, closed by the last."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from soundstage.core.errors import InvalidArgument, Outcome, SoundstageError
from soundstage.engines.log.kafka.driver import KafkaException, admin, code_of, root
from soundstage.engines.log.kafka.failures import refusal, timed_out
from soundstage.engines.log.kafka.options import Address, client_settings
from soundstage.engines.log.kafka.settings import MESSAGE_MAX_BYTES

QUEUED_KBYTES = 16 << 10
QUEUED_MESSAGES = 20_000
QUEUE_BACKOFF_MS = 10
"""Less than it takes to read what is queued."""

HEARTBEAT_MS = 250
CONNECT_S = 0.25
FOREVER = 0
"""How the driver is told to try without end."""

ALL_DOWN: int = code_of("_ALL_BROKERS_DOWN")


class Link:
    """A cluster: what is asked of it goes through one client, what is appended through another."""

    unanswered: str | None = None
    """Why the last that the cluster left unanswered was given up; None when it has answered something since."""

    def __init__(self, address: Address) -> None:
        self.address: Address = address
        self.admin: Any = None
        self._heard: Any = None
        self._users = 0
        self._lock = threading.Lock()

    @property
    def trouble(self) -> str | None:
        """What the driver last said of its connections, if it had reason to."""
        return None if self._heard is None else self._heard.str()

    def refused(self, outcome: Outcome) -> SoundstageError | None:
        """Why it is no use to wait, if the last that was heard is such: a login or certificate is not accepted."""
        found = None if self._heard is None else refusal(self._heard)
        if found is not None:
            found.outcome = outcome
        return found

    def silence(self, outcome: Outcome = "unknown") -> SoundstageError:
        """What is said to somebody who has waited in vain."""
        found = self.refused(outcome) or timed_out(self.trouble).error
        found.outcome = outcome
        return found

    async def take(self) -> None:
        """The cluster has answered. Raises the tree's errors only: the reason, once `start_s` have passed."""
        await asyncio.get_running_loop().run_in_executor(None, self.hold)

    def hold(self) -> None:
        """The same, for who has no event loop."""
        with self._lock:
            if self._users == 0:
                self._connect()
            self._users += 1

    def renew(self) -> None:
        """Another client asks from here on, which knows nothing yet."""
        if self.admin is not None:
            left, self.admin = [self.admin], self._made(admin.AdminClient, {})
            # To let go of a client waits for its threads.
            asyncio.get_running_loop().run_in_executor(None, left.clear)

    def let_go(self) -> None:
        """One user less; the last closes the client."""
        with self._lock:
            self._users -= 1
            if self._users == 0:
                self.admin = None

    def producer(self, **more: Any) -> Any:
        """A client that appends, each message once and in order, and gives none up by itself.

        Where the driver gives one up, it numbers what is left anew, and Kafka no longer knows what it has already.
        """
        options = self.address.options
        return self._made(
            root.Producer,
            {
                "enable.idempotence": True,
                "acks": "all",
                "linger.ms": options.linger_ms,
                "compression.type": options.compression,
                "delivery.timeout.ms": FOREVER,
                "message.max.bytes": MESSAGE_MAX_BYTES,
                "queue.buffering.max.messages": 10_000_000,
                "queue.buffering.max.kbytes": 2_097_151,
                **more,
            },
        )

    def consumer(self, group: str, **more: Any) -> Any:
        """A client that reads what is committed."""
        settings = {
            "group.id": group,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "earliest",
            "allow.auto.create.topics": False,
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "fetch.error.backoff.ms": 50,
            # Whoever goes elsewhere waits for the question that is under way: it is short.
            "fetch.wait.max.ms": 50,
            # So long the driver fetches nothing once so much is queued, however soon that is read: else a second.
            "fetch.queue.backoff.ms": QUEUE_BACKOFF_MS,
            "queued.min.messages": QUEUED_MESSAGES,
            "queued.max.messages.kbytes": QUEUED_KBYTES,
            **more,
        }
        return self._made(root.Consumer, settings)

    def _connect(self) -> None:
        self._heard = None
        self.admin = self._made(admin.AdminClient, {})
        try:
            self._wait_for_brokers()
        except BaseException:
            self.admin = None
            raise

    def _wait_for_brokers(self) -> None:
        for _ in range(max(1, round(self.address.options.start_s / CONNECT_S))):
            try:
                self.admin.list_topics(timeout=CONNECT_S)
            except KafkaException:
                self.admin.poll(0)
                refused = self.refused("not_applied")
                if refused is not None:
                    raise refused from None
            else:
                return
        raise self.silence("not_applied")

    def _made(self, kind: Any, settings: dict[str, Any]) -> Any:
        try:
            return kind({**client_settings(self.address), "error_cb": self._hear, **settings})
        except KafkaException as error:
            raise InvalidArgument(
                f"the driver refuses its settings: {error.args[0].str()}",
                field="engines.options",
                hint="check the options of the engine, and the TLS files",
            ) from None

    def _hear(self, error: Any) -> None:
        """What the driver says besides answers, in a thread of its own."""
        if error.code() != ALL_DOWN:
            self._heard = error
