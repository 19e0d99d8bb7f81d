"""A port's calls as data, taken from its protocol class, so that any port can be carried to another process.

Every coroutine method is a call; one with a parameter of type `AsyncIterable[bytes]` takes a stream, and one
that returns an `AsyncGenerator[bytes]` gives one. Attributes, such as `capabilities`, are told once. Parameters and
results have types that msgspec carries. Other methods, and `start` and `stop`, are each process's own.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterator, Mapping
from functools import cache
from hashlib import blake2b
from operator import attrgetter
from typing import Any, Literal, TypeAlias, cast, get_args, get_origin, get_type_hints

import msgspec

from soundstage.core.errors import InvalidArgument

Shape: TypeAlias = Literal["call", "upload", "download"]

PORTS = ("records", "blobs", "cache", "log", "search")

_OWN = frozenset({"start", "stop"})


def _plain(value: Any) -> Any:
    """What msgspec does not know of itself."""
    if isinstance(value, Mapping):
        return dict(cast("Mapping[Any, Any]", value))
    return list(value)


encode: Callable[[Any], bytes] = msgspec.msgpack.Encoder(enc_hook=_plain).encode
"""A value of a type that ports use, as MessagePack."""


class Method:
    """One call of a port. `number` is its place in the contract, `stream` the parameter that is a stream."""

    def __init__(self, number: int, name: str, function: Callable[..., Any]) -> None:
        self.number = number
        self.name = name
        self.signature: inspect.Signature = inspect.signature(function)
        hints = get_type_hints(function)
        result = hints.pop("return")
        streams = [name for name, hint in hints.items() if get_origin(hint) is AsyncIterable]
        self.stream: str | None = streams[0] if streams else None
        self.shape: Shape = "download" if get_origin(result) is AsyncGenerator else "upload" if streams else "call"
        sent = [each for each in self._parameters() if each.name != self.stream]
        self.arguments: type[msgspec.Struct] = msgspec.defstruct(
            name, [_field(each, hints[each.name]) for each in sent], array_like=True, frozen=True
        )
        types = tuple(hints[each.name] for each in sent)
        self.decode_arguments: Callable[[bytes], tuple[Any, ...]] = msgspec.msgpack.Decoder(tuple[types]).decode
        self._names: tuple[str, ...] = tuple(each.name for each in sent)
        # Those behind a stream are given by name, and so are those that can be given in no other way.
        self._positional: int = next(
            (
                place
                for place, each in enumerate(self._parameters())
                if each.kind is each.KEYWORD_ONLY or self._is_stream(each)
            ),
            len(sent),
        )
        self.short: bool = self.shape == "call" and self._positional == len(sent)
        """Whether it is called with its arguments in their order and nothing else."""
        self.carried: Callable[[Any], Any]
        self.decode_result: Callable[[bytes], Any]
        self.carried, self.decode_result = _carriage(None if self.shape == "download" else result)

    def invoke(self, function: Callable[..., Any], arguments: tuple[Any, ...], stream: Any = None) -> Any:
        """What `function`, this call of some engine, returns for arguments as they were sent."""
        if self._positional == len(arguments):
            return function(*arguments)
        named = dict(zip(self._names[self._positional :], arguments[self._positional :], strict=True))
        if self.stream is not None:
            named[self.stream] = stream
        return function(*arguments[: self._positional], **named)

    def _is_stream(self, parameter: inspect.Parameter) -> bool:
        return parameter.name == self.stream

    def _parameters(self) -> Iterator[inspect.Parameter]:
        return (each for name, each in self.signature.parameters.items() if name != "self")

    def __str__(self) -> str:
        return f"{self.name}{self.signature}"


def _carriage(result: Any) -> tuple[Callable[[Any], Any], Callable[[bytes], Any]]:
    """What is sent of a result, and how it is read.

    Fields of a struct that are objects with a behaviour, such as the mark of a page, mean something in the engine's
    own process alone and stay there.
    """
    several = get_origin(result) is list
    struct = get_args(result)[0] if several else result
    sent = _sent_fields(struct)
    if not sent:
        return _itself, msgspec.msgpack.Decoder(result).decode
    hints = get_type_hints(struct)
    fields: Any = tuple[tuple(hints[name] for name in sent)]
    in_place = sent == list(hints)[: len(sent)]

    def made(values: Any) -> Any:
        return struct(*values) if in_place else struct(**dict(zip(sent, values, strict=True)))

    take = attrgetter(*sent)
    decode: Callable[[bytes], Any] = msgspec.msgpack.Decoder(list[fields] if several else fields).decode
    if several:
        return (lambda found: list(map(take, found))), lambda body: list(map(made, decode(body)))
    return take, lambda body: made(decode(body))


def _sent_fields(struct: Any) -> list[str]:
    """The fields that travel, of a struct of which some do not; else none."""
    if not (isinstance(struct, type) and issubclass(struct, msgspec.Struct)):
        return []
    hints = get_type_hints(struct)
    sent = [name for name, hint in hints.items() if not any(map(_is_behaviour, (hint, *get_args(hint))))]
    return sent if 1 < len(sent) < len(hints) else []


def _itself(result: Any) -> Any:
    return result


def _is_behaviour(hint: Any) -> bool:
    return isinstance(hint, type) and getattr(hint, "_is_protocol", False)


def _field(parameter: inspect.Parameter, hint: Any) -> Any:
    if parameter.default is inspect.Parameter.empty:
        return parameter.name, hint
    # Defaults are immutable by the convention of ports; msgspec wants to be told so.
    return parameter.name, hint, msgspec.field(default_factory=lambda: parameter.default)


class Contract:
    """A port: the calls of every engine, in `methods`, and those of engines that announce more, in `extras`.

    `here` is what an engine of another process can besides: it says that it is one.
    """

    def __init__(
        self, port: str, protocol: type[Any], extras: Mapping[str, type[Any]] | None = None, *here: str
    ) -> None:
        self.port = port
        self.here: frozenset[str] = frozenset(here)
        self.methods: list[Method] = []
        self.extras: dict[str, list[Method]] = {}
        self._add(protocol, self.methods)
        for capability, more in (extras or {}).items():
            self._add(more, self.extras.setdefault(capability, []))
        hints = get_type_hints(protocol)
        self._attributes = msgspec.defstruct(f"{port}_attributes", list(hints.items()), frozen=True)

    @property
    def fingerprint(self) -> str:
        """Differs between contracts whose calls differ in name, order, parameters or results."""
        said = "\n".join(map(str, self.every()))
        return blake2b(said.encode(), digest_size=8).hexdigest()

    def every(self) -> list[Method]:
        """All calls by their number, those of capabilities behind the common ones."""
        return [*self.methods, *(method for methods in self.extras.values() for method in methods)]

    def told(self, engine: Any) -> bytes:
        """What `engine` announces, as `announced` reads it."""
        return encode({name: getattr(engine, name) for name in self._attributes.__struct_fields__})

    def announced(self, told: bytes) -> dict[str, Any]:
        """The attributes of an engine that another process has."""
        return msgspec.structs.asdict(msgspec.msgpack.decode(told, type=self._attributes))

    def _add(self, protocol: type[Any], to: list[Method]) -> None:
        first = len(self.every())
        # In the order of the class: those of equal name in a base come from there.
        functions = {name: found for name, found in vars(protocol).items() if _is_call(name, found)}
        to += [Method(first + place, name, function) for place, (name, function) in enumerate(functions.items())]


def _is_call(name: str, found: object) -> bool:
    return inspect.isfunction(found) and not name.startswith("_") and name not in _OWN and _is_waited_for(found)


def _is_waited_for(function: Callable[..., Any]) -> bool:
    """False of what an engine answers at once, which each process has to answer for itself."""
    hints = get_type_hints(function)
    return inspect.iscoroutinefunction(function) or get_origin(hints.get("return")) is AsyncGenerator


@cache
def contract(port: str) -> Contract:
    """The contract of a port by its name. Raises `InvalidArgument` for one that there is not."""
    from soundstage.engines.blobs.port import BlobCapability, BlobCheckpoints, Blobs
    from soundstage.engines.cache.port import Cache
    from soundstage.engines.log.port import (
        AtomicWithLog,
        Groups,
        Log,
        LogCapability,
        LogCheckpoints,
        LogStatistics,
        Transactions,
    )
    from soundstage.engines.records.holdings import Transfers
    from soundstage.engines.records.port import Bulk, Capability, Checkpoints, Copies, Records, Statistics
    from soundstage.engines.search.port import Search, SearchCapability, VectorSearch

    if port == "records":
        extras: dict[str, type[Any]] = {
            Capability.STATISTICS: Statistics,
            Capability.CHECKPOINT: Checkpoints,
            Capability.TRANSFER: Transfers,
            Capability.COPIES: Copies,
            Capability.BULK: Bulk,
        }
        return Contract(port, Records, extras, Capability.HOSTED)
    if port == "blobs":
        return Contract(port, Blobs, {BlobCapability.CHECKPOINT: BlobCheckpoints})
    if port == "cache":
        return Contract(port, Cache)
    if port == "log":
        more: dict[str, type[Any]] = {
            LogCapability.STATISTICS: LogStatistics,
            LogCapability.CHECKPOINT: LogCheckpoints,
            LogCapability.ATOMIC_WITH_LOG: AtomicWithLog,
            LogCapability.GROUPS: Groups,
            LogCapability.TRANSACTIONS: Transactions,
        }
        return Contract(port, Log, more, LogCapability.HOSTED)
    if port == "search":
        return Contract(port, Search, {SearchCapability.VECTORS: VectorSearch})
    raise InvalidArgument(f"there is no port {port!r}", field="port", hint=f"ports are {', '.join(PORTS)}")
