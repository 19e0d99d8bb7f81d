"""One run about dictionaries."""

from __future__ import annotations

from typing import Any

from soundstage.core.compression import compress, decompress
from soundstage.core.dictionaries import Dictionary, codec_of_dictionary, needs_dictionary
from soundstage.core.errors import (
    DeadlineExceeded,
    Exhausted,
    InvalidArgument,
    NotFound,
    PreconditionFailed,
    SoundstageError,
    TokenDrift,
    Unavailable,
)
from soundstage.core.message import IdempotencyToken
from soundstage.data.kv.api import ClientCapabilities, Item, KeyValue, PutItem
from soundstage.runtime.namespaces.api import Namespaces, NamespaceSpec
from soundstage.testing.simulation.dictionaries.imports import Imports
from soundstage.testing.simulation.dictionaries.steps import KEYS, RECORDS, SAMPLES, DictionaryStep, value_of
from soundstage.testing.simulation.dictionaries.works import drop, train
from soundstage.testing.simulation.process import Killed
from soundstage.testing.simulation.scenario import Divergence, Site
from soundstage.testing.simulation.written import Version, Writings, predicate_of, version_of

NAMESPACE = "people"
SAMPLED = "samples"
KNOBS: dict[str, Any] = {
    "compression": {"codecs": ["zstd", "lz4"]},
    "chunk_threshold": "1KiB",
    "chunk_bytes": "16KiB",
    "drift_past": "1h",
    "drift_future": "10s",
}
CAPABLE = ClientCapabilities(codecs=["zstd:*", "zstd", "lz4"])

TRIES_MAX = 600
RETRY_S = 0.05
ROUNDS = 4
ROUND_S = 9_000.0
KNOWN = (Unavailable, DeadlineExceeded, Exhausted)


class DictionaryPlay:
    """Clients write with dictionaries that they heard of, lately or long ago, and import files with these and others.

    What is read is undone and judged.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._sent = Writings()
        self._values: dict[str, bytes] = {}
        self._words: dict[str, Dictionary] = {}
        self._heard: list[list[str]] = [[] for _ in range(site.climate.clients)]
        self._imports = Imports(site, NAMESPACE, self._sent, self._values)

    async def prepare(self) -> None:
        """The namespace is there, and what dictionaries are made of."""
        spec = NamespaceSpec(name=NAMESPACE, abstraction="kv", config=KNOBS)
        await self._site.client(0, Namespaces).put(namespace=spec)
        items = [PutItem(key=b"%d" % at, value=value_of(f"sample {at}", False)) for at in range(SAMPLES)]
        await self._kv(0).put_items(id=SAMPLED, items=items)

    async def play(self, step: DictionaryStep) -> None:
        match step.act:
            case "put" | "delete":
                await self._write(step)
            case "look":
                await self._look(step.client, step.record)
            case "greet":
                await self._greet(step)
            case "retire":
                await self._retire(step)
            case "train" | "drop":
                await self._work(step)
            case "bring":
                await self._imports.bring(step, [self._words[codec] for codec in self._heard[step.client]])

    async def settle(self) -> None:
        """Every value can be read, and nothing is kept that none needs."""
        await self._look_at_all()
        await self._kv(0).retire_dictionary()
        for number in range(ROUNDS):
            await self._site.environment.sleep(ROUND_S)
            await self._work(DictionaryStep(number=-1 - number, client=0, act="drop"))
        needed = await self._look_at_all()
        kept = {each.codec for each in (await self._kv(0).list_dictionaries()).dictionaries}
        if kept != needed:
            raise Divergence(f"{sorted(kept)} are kept, and values need {sorted(needed)}")

    def _kv(self, client: int) -> KeyValue:
        return self._site.client(client, KeyValue, NAMESPACE)

    async def _write(self, step: DictionaryStep) -> None:
        """Repeated under its token until it is acknowledged; as it is, where its codec is refused."""
        made = self._site.machine(step.client).clock.token()
        token = IdempotencyToken(made.generation_time, f"{step.act}-{step.number}")
        written = self._sent.begin(token, step.act == "delete", step.record, step.keys)
        codec = self._chosen(step) if step.act == "put" else "none"
        for _ in range(TRIES_MAX):
            try:
                await self._send(step, token, codec)
            except KNOWN:
                self._site.note("uncertain")
                await self._site.environment.sleep(RETRY_S)
                continue
            except InvalidArgument as refusal:
                if codec == "none" or isinstance(refusal, TokenDrift):
                    raise
                self._site.note("refused")
                codec = "none"
                continue
            self._sent.end(written)
            self._site.note("worded" if needs_dictionary(codec) else "written")
            return
        raise Divergence(f"no answer in {TRIES_MAX} tries")

    async def _send(self, step: DictionaryStep, token: IdempotencyToken, codec: str) -> None:
        kv = self._kv(step.client)
        if step.act == "delete":
            await kv.delete_items(id=step.record, predicate=predicate_of(step.keys), idempotency_token=token)
            return
        value = self._values.setdefault(token.token, value_of(token.token, step.is_large))
        frame = value if codec == "none" else compress(codec, value, 3, self._words.get(codec))
        named = None if codec == "none" else codec
        items = [PutItem(key=key, value=frame, codec=named) for key in step.keys]
        await kv.put_items(id=step.record, items=items, idempotency_token=token)

    def _chosen(self, step: DictionaryStep) -> str:
        """The codec that the client writes with; of dictionaries one that it heard of, the latest first."""
        if step.codec != "dictionary":
            return step.codec
        heard = self._heard[step.client]
        return heard[-1 - step.choice % len(heard)] if heard else "zstd"

    async def _greet(self, step: DictionaryStep) -> None:
        """The client hears what to write with, and has it."""
        try:
            told = (await self._kv(step.client).handshake(client=CAPABLE)).signals.codecs
            for codec in filter(needs_dictionary, told):
                content = (await self._kv(step.client).get_dictionary(codec=codec)).content
                self._keep(codec, content)
                heard = self._heard[step.client]
                if codec in heard:
                    heard.remove(codec)
                heard.append(codec)
        except KNOWN:
            self._site.note("unreachable")
        except NotFound:
            # It was told of one that has been retired, and dropped, since: the host may have stood still.
            raise Divergence("a dictionary that clients are told of is not there") from None

    def _keep(self, codec: str, content: bytes) -> Dictionary:
        if codec_of_dictionary(content) != codec:
            raise Divergence(f"{codec} came as {codec_of_dictionary(content)}")
        return self._words.setdefault(codec, Dictionary(codec, content))

    async def _retire(self, step: DictionaryStep) -> None:
        try:
            if (await self._kv(step.client).retire_dictionary()).retired:
                self._site.note("retired")
        except KNOWN:
            self._site.note("unreachable")

    async def _work(self, step: DictionaryStep) -> None:
        """A job, once; it may fail, and is then done by a later step."""
        try:
            if step.act == "train":
                await train(self._site, step, NAMESPACE)
                self._site.note("trained")
                return
            found = await drop(self._site, step, NAMESPACE)
            for situation, codecs in (("dropped", found.dropped), ("needed", found.needed)):
                if codecs:
                    self._site.note(situation)
            states = (await self._kv(step.client).list_dictionaries()).dictionaries
            if any(each.state == "unneeded" for each in states):
                self._site.note("unneeded")
        except (*KNOWN, Killed, PreconditionFailed):
            self._site.note("given_up")

    async def _look_at_all(self) -> set[str]:
        """The dictionaries that values need."""
        found: set[str] = set()
        for record in RECORDS:
            found |= await self._look(0, record)
        return found

    async def _look(self, client: int, record: str) -> set[str]:
        """What is read of a record can be undone, and is explained by what was acknowledged before and sent since."""
        acknowledged, found, needed = self._sent.acknowledged(), dict[bytes, Version](), set[str]()
        try:
            async for page in self._kv(client).get_items.pages(id=record):
                for item in page.items:
                    found[item.key] = version_of(item)
                    needed |= await self._undo(client, record, item)
        except KNOWN:
            return set()
        for key in KEYS:
            self._sent.judge(record, key, found.get(key), acknowledged)
        self._site.note("looked")
        return needed

    async def _undo(self, client: int, record: str, item: Item) -> set[str]:
        """The dictionary that an item needs, which is asked for anew; its value is what was put."""
        codec, value, words = item.metadata.codec, item.value, None
        place = f"{record}/{item.key!r} of {item.metadata.token.token}"
        if value is None:
            raise Divergence(f"{place} came without a value")
        if needs_dictionary(codec):
            assert codec is not None
            words = self._keep(codec, await self._content(client, place, codec))
            self._site.note("read_by_dictionary")
        plain = value if codec is None else decompress(codec, value, 1 << 20, words)
        if plain != self._values.get(item.metadata.token.token):
            raise Divergence(f"{place} is not what was put")
        return set() if words is None else {words.codec}

    async def _content(self, client: int, place: str, codec: str) -> bytes:
        failure: SoundstageError | None = None
        for _ in range(TRIES_MAX):
            try:
                return (await self._kv(client).get_dictionary(codec=codec)).content
            except KNOWN as error:
                failure = error
                await self._site.environment.sleep(RETRY_S)
            except NotFound:
                raise Divergence(f"{place} needs {codec}, which is gone") from None
        raise Divergence(f"no answer in {TRIES_MAX} tries: {failure}")
