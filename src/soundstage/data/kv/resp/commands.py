"""The table of commands: what each takes, whether it waits for the store, and who may send it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import NamedTuple, TypeAlias

from soundstage.data.kv.resp import expiry, hashes, keys, scans, serving, strings
from soundstage.data.kv.resp.client import Client
from soundstage.data.kv.resp.faults import CommandError
from soundstage.data.kv.resp.missing import REASONS
from soundstage.data.kv.resp.replies import EMPTY_ARRAY, array, bulks, integer, mapping, simple, text

Answer: TypeAlias = Callable[[Client, list[bytes]], Awaitable[bytes] | bytes]

SHOWN_BYTES = 64
"""Of an unknown command in its error."""


class Command(NamedTuple):
    """One command. `arity` counts its name; one that takes more has it negative.

    `waits`: it is a coroutine. `open`: for everyone, also who has not said who it is. `spreads`: it writes to its first
    argument alone, so that writes to other keys need not wait for it. `keys` are the first and last place of keys.
    """

    name: str
    arity: int
    answer: Answer
    flags: tuple[str, ...]
    keys: tuple[int, int, int] = (1, 1, 1)
    waits: bool = True
    open: bool = False
    spreads: bool = False

    @property
    def summary(self) -> str:
        """What it does, in a sentence."""
        return (self.answer.__doc__ or "").partition("\n")[0]

    def fits(self, arguments: list[bytes]) -> bool:
        """Whether there are as many arguments as it takes."""
        return len(arguments) == self.arity or (self.arity < 0 and len(arguments) >= -self.arity)


def command(client: Client, arguments: list[bytes]) -> bytes:
    """What commands there are."""
    part = arguments[1].upper() if len(arguments) > 1 else b""
    named = [NAMED.get(name.lower()) for name in arguments[2:]]
    if part == b"COUNT":
        return integer(len(TABLE))
    if part in (b"", b"INFO"):
        chosen = named or TABLE
        nothing = b"*-1\r\n" if client.protocol == 2 else client.null
        return array([nothing if each is None else _described(each) for each in chosen])
    if part == b"LIST":
        return bulks([each.name.encode() for each in TABLE])
    if part == b"DOCS":
        return mapping(client.protocol, _documented(client.protocol, [each for each in named or TABLE if each]))
    raise serving.no_part("COMMAND", part)


_READ = ("readonly", "fast")
_WALK = ("readonly",)
_WRITE = ("write", "fast")
_SERVE = ("fast", "loading", "stale")
_NO_KEY = (0, 0, 0)


def _read(name: str, arity: int, answer: Answer, keys: tuple[int, int, int] = (1, 1, 1)) -> Command:
    return Command(name, arity, answer, _READ, keys)


def _write(name: str, arity: int, answer: Answer, keys: tuple[int, int, int] = (1, 1, 1)) -> Command:
    return Command(name, arity, answer, _WRITE, keys, spreads=keys == (1, 1, 1))


def _serve(name: str, arity: int, answer: Answer, *, open: bool = False) -> Command:
    return Command(name, arity, answer, _SERVE, _NO_KEY, waits=False, open=open)


TABLE: tuple[Command, ...] = (
    _read("get", 2, strings.get),
    _write("set", -3, strings.set_),
    _write("setex", 4, strings.setex),
    _write("psetex", 4, strings.psetex),
    _write("setnx", 3, strings.setnx),
    _write("getset", 3, strings.getset),
    _write("getdel", 2, strings.getdel),
    _write("getex", -2, strings.getex),
    _read("mget", -2, strings.mget, (1, -1, 1)),
    _write("mset", -3, strings.mset, (1, -1, 2)),
    _read("strlen", 2, strings.strlen),
    _write("hset", -4, hashes.hset),
    _write("hmset", -4, hashes.hmset),
    _write("hsetnx", 4, hashes.hsetnx),
    _read("hget", 3, hashes.hget),
    _read("hmget", -3, hashes.hmget),
    _read("hgetall", 2, hashes.hgetall),
    _read("hkeys", 2, hashes.hkeys),
    _read("hvals", 2, hashes.hvals),
    _read("hlen", 2, hashes.hlen),
    _read("hexists", 3, hashes.hexists),
    _read("hstrlen", 3, hashes.hstrlen),
    _write("hdel", -3, hashes.hdel),
    Command("hscan", -3, scans.hscan, _WALK),
    _write("del", -2, keys.delete, (1, -1, 1)),
    _write("unlink", -2, keys.delete, (1, -1, 1)),
    _read("exists", -2, keys.exists, (1, -1, 1)),
    _read("touch", -2, keys.exists, (1, -1, 1)),
    _read("type", 2, keys.type_),
    _write("expire", -3, expiry.expire),
    _write("pexpire", -3, expiry.pexpire),
    _write("expireat", -3, expiry.expireat),
    _write("pexpireat", -3, expiry.pexpireat),
    _write("persist", 2, expiry.persist),
    _read("ttl", 2, expiry.ttl),
    _read("pttl", 2, expiry.pttl),
    _read("expiretime", 2, expiry.expiretime),
    _read("pexpiretime", 2, expiry.pexpiretime),
    Command("scan", -2, scans.scan, _WALK, _NO_KEY),
    Command("dbsize", 1, scans.dbsize, _WALK, _NO_KEY),
    _serve("ping", -1, serving.ping),
    _serve("echo", 2, serving.echo),
    _serve("time", 1, serving.time),
    _serve("select", 2, serving.select),
    _serve("auth", -2, serving.auth, open=True),
    _serve("hello", -1, serving.hello, open=True),
    _serve("quit", -1, serving.quit, open=True),
    _serve("reset", 1, serving.reset, open=True),
    _serve("command", -1, command),
    _serve("client", -2, serving.client),
    _serve("config", -2, serving.config),
    _serve("info", -1, serving.info),
)

NAMED: dict[bytes, Command] = {command.name.encode(): command for command in TABLE}

COMMANDS: dict[bytes, Command] = {**NAMED, **{name.upper(): command for name, command in NAMED.items()}}
"""Commands by name in small and in capital letters."""


def unknown(arguments: list[bytes]) -> Command:
    """The command, written in a mixture of letters. Raises `CommandError` that says why for one that there is not."""
    name = arguments[0].upper()
    command = COMMANDS.get(name)
    if command is not None:
        return command
    if name in REASONS:
        raise CommandError(f"ERR '{name.decode()}' is not offered: {REASONS[name]}")
    shown = arguments[0][:SHOWN_BYTES].decode("utf-8", "replace")
    raise CommandError(f"ERR unknown command '{shown}'")


def check_arity(command: Command, arguments: list[bytes]) -> None:
    """Raises `CommandError` for too few or too many arguments."""
    if not command.fits(arguments):
        raise CommandError(f"ERR wrong number of arguments for '{command.name}' command")


def _described(command: Command) -> bytes:
    flags = array([simple(flag) for flag in command.flags])
    places = [integer(place) for place in command.keys]
    rest = [EMPTY_ARRAY, EMPTY_ARRAY, EMPTY_ARRAY, EMPTY_ARRAY]
    return array([text(command.name), integer(command.arity), flags, *places, *rest])


def _documented(protocol: int, commands: Iterable[Command]) -> Iterable[tuple[bytes, bytes]]:
    for each in commands:
        facts = [
            (text("summary"), text(each.summary)),
            (text("since"), text("1.0.0")),
            (text("group"), text("generic")),
        ]
        yield text(each.name), mapping(protocol, facts)
