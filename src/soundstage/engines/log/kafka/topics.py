"""The topics of an engine's space: made, read and changed in Kafka, and remembered here for as long as they stand."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from soundstage.core.errors import AlreadyExists, NotFound
from soundstage.engines.log import refusals
from soundstage.engines.log.kafka.asking import PAUSE_LAST_S, UNKNOWN_TRIES, Asking
from soundstage.engines.log.kafka.driver import admin, root
from soundstage.engines.log.kafka.failures import failure, not_known
from soundstage.engines.log.kafka.link import Link
from soundstage.engines.log.kafka.names import topic_here, topic_in_kafka
from soundstage.engines.log.kafka.settings import changeable, configuration, spec_of
from soundstage.engines.log.port import TOPICS_MAX, TopicSpec

PAUSE_S = 0.01
LISTED_AT_ONCE = 500


class Topic(NamedTuple):
    """A topic, what it is called in Kafka, and which of those that were called so it is."""

    spec: TopicSpec
    place: str
    incarnation: str


class Topics:
    """What is remembered of a topic goes when Kafka says that there is none of its name."""

    def __init__(self, link: Link, asking: Asking, space: str) -> None:
        self._link = link
        self._asking = asking
        self._options = link.address.options
        self._space = space
        self._known: dict[str, Topic] = {}

    async def topic(self, name: str) -> Topic:
        """The topic. Raises `NotFound`."""
        known = self._known.get(name)
        if known is None:
            known = self._known[name] = await self._found(name)
        return known

    def forget(self, name: str) -> None:
        """The topic is looked up when it is next asked for."""
        self._known.pop(name, None)

    async def create(self, spec: TopicSpec) -> None:
        """The topic is there, as it is to be."""
        place = topic_in_kafka(self._space, spec.name)
        copies = -1 if self._options.replication is None else self._options.replication
        wanted = admin.NewTopic(place, spec.partitions, copies, config=configuration(spec, self._options))
        try:
            known = await self._looked_up(spec.name)
        except NotFound:
            try:
                await self._asking.answer("create_topics", [wanted], reading=False)
            except AlreadyExists:
                known = await self._found(spec.name)
            else:
                await self._appeared(spec.name)
                return
        refusals.check_fixed_settings(known.spec, spec)
        self.forget(spec.name)
        if changeable(known.spec) != changeable(spec):
            await self._change(place, spec)
            await self._changed(spec)

    async def drop(self, name: str) -> str:
        """The topic is gone; what it was called in Kafka."""
        place = topic_in_kafka(self._space, name)
        self.forget(name)
        try:
            await self._asking.answer("delete_topics", [place], reading=False)
        except NotFound:
            return place
        await self._vanished(name)
        return place

    async def all(self) -> list[Topic]:
        """Those of the space, by name; they are remembered."""
        loop = asyncio.get_running_loop()
        listed = await loop.run_in_executor(None, self._listed)
        if len(listed) > TOPICS_MAX:
            raise refusals.too_many_topics()
        found: list[Topic] = []
        for begin in range(0, len(listed), LISTED_AT_ONCE):
            found += await self._described(listed[begin : begin + LISTED_AT_ONCE])
        self._known.update({topic.spec.name: topic for topic in found})
        return sorted(found, key=lambda topic: topic.spec.name)

    def _listed(self) -> list[str]:
        try:
            names = self._link.admin.list_topics(timeout=self._options.attempt_s).topics
        except Exception as error:
            # Whoever keeps the error would keep the client, and so its connections, by where it came from.
            error.with_traceback(None)
            raise failure(error, reading=True).error from error
        found = ((name, topic_here(self._space, name)) for name in names)
        return [here for _, here in found if here is not None]

    async def _found(self, name: str) -> Topic:
        """The topic, which a broker that has just come back may not know yet."""
        for _ in range(UNKNOWN_TRIES):
            try:
                return await self._looked_up(name)
            except NotFound:
                if not await self._asking.exist([topic_in_kafka(self._space, name)]):
                    raise
                await self._asking.pause(PAUSE_LAST_S)
        raise not_known()

    async def _looked_up(self, name: str) -> Topic:
        try:
            (found,) = await self._described([name])
        except NotFound:
            raise refusals.no_topic(name) from None
        return found

    async def _described(self, names: Sequence[str]) -> list[Topic]:
        places = [topic_in_kafka(self._space, name) for name in names]
        resources = [admin.ConfigResource(admin.ConfigResource.Type.TOPIC, place) for place in places]
        described, settings = await asyncio.gather(
            self._asking.answer("describe_topics", root.TopicCollection(places)),
            self._asking.answer("describe_configs", resources),
        )
        found: list[Topic] = []
        for name, place, each, given in zip(names, places, described, settings, strict=True):
            values = {key: entry.value for key, entry in given.items()}
            found.append(Topic(spec_of(name, len(each.partitions), values), place, str(each.topic_id)))
        return found

    async def _change(self, place: str, spec: TopicSpec) -> None:
        entries = [
            admin.ConfigEntry(name, value, incremental_operation=admin.AlterConfigOpType.SET)
            for name, value in changeable(spec).items()
        ]
        resource = admin.ConfigResource(admin.ConfigResource.Type.TOPIC, place, incremental_configs=entries)
        await self._asking.answer("incremental_alter_configs", [resource], reading=False)

    async def _appeared(self, name: str) -> None:
        """Brokers hear of a topic a moment after it was made."""
        for _ in range(round(self._options.patience_s / PAUSE_S)):
            try:
                self._known[name] = await self._looked_up(name)
                return
            except NotFound:
                await self._asking.pause(PAUSE_S)

    async def _changed(self, spec: TopicSpec) -> None:
        """And of what a topic was set to."""
        for _ in range(round(self._options.patience_s / PAUSE_S)):
            found = await self._looked_up(spec.name)
            if changeable(found.spec) == changeable(spec):
                self._known[spec.name] = found
                return
            await self._asking.pause(PAUSE_S)

    async def _vanished(self, name: str) -> None:
        """And they know one for a moment that is gone."""
        for _ in range(round(self._options.patience_s / PAUSE_S)):
            try:
                await self._looked_up(name)
            except NotFound:
                return
            await self._asking.pause(PAUSE_S)
