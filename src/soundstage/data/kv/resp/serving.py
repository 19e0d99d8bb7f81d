"""Commands about the connection and the server."""

from __future__ import annotations

import os
from collections.abc import Callable

from soundstage import __version__
from soundstage.core.errors import Unauthenticated
from soundstage.data.kv.resp.client import NO_AUTHENTICATION, Client
from soundstage.data.kv.resp.faults import CommandError, syntax
from soundstage.data.kv.resp.globs import matcher
from soundstage.data.kv.resp.options import integer_of
from soundstage.data.kv.resp.replies import (
    EMPTY_ARRAY,
    OK,
    PONG,
    bulk,
    bulks,
    integer,
    mapping,
    simple,
    text,
)
from soundstage.runtime.access import allows
from soundstage.runtime.door import DoorSession

REDIS_VERSION = "7.0.0"
"""The release whose replies the commands follow; many clients ask for one."""

NAME_MAX_BYTES = 64


def ping(client: Client, arguments: list[bytes]) -> bytes:
    """Answer that the door is open."""
    if len(arguments) > 2:
        raise CommandError("ERR wrong number of arguments for 'ping' command")
    return PONG if len(arguments) == 1 else bulk(arguments[1])


def echo(client: Client, arguments: list[bytes]) -> bytes:
    """Answer with the argument."""
    return bulk(arguments[1])


def time(client: Client, arguments: list[bytes]) -> bytes:
    """The server's time: seconds since 1970, and microseconds."""
    seconds, us = divmod(client.door.context.environment.now_us(), 1_000_000)
    return bulks([str(seconds).encode(), str(us).encode()])


def select(client: Client, arguments: list[bytes]) -> bytes:
    """Go to another database: a namespace that the door is configured with."""
    client.select(integer_of(arguments[1]))
    return OK


def auth(client: Client, arguments: list[bytes]) -> bytes:
    """Say who you are: an access token as the password, and its name, or `default`, as the user."""
    if len(arguments) > 3:
        raise syntax()
    if not client.door.context.authenticates:
        raise CommandError(
            "ERR AUTH <password> called without any password configured for the default user. "
            "Are you sure your configuration is correct?"
        )
    client.let_in(_recognised(client, arguments[1:]))
    return OK


def hello(client: Client, arguments: list[bytes]) -> bytes:
    """Choose the version of the protocol, and say who you are."""
    protocol = client.protocol
    at = 1
    if len(arguments) > 1:
        if arguments[1] not in (b"2", b"3"):
            raise CommandError("NOPROTO unsupported protocol version")
        protocol, at = int(arguments[1]), 2
    session, name = client.session, None
    while at < len(arguments):
        word, left = arguments[at].upper(), len(arguments) - at - 1
        if word == b"AUTH" and left >= 2:
            session = _recognised(client, arguments[at + 1 : at + 3])
            at += 3
        elif word == b"SETNAME" and left >= 1:
            name = _name(arguments[at + 1])
            at += 2
        else:
            raise syntax()
    if session is None:
        raise CommandError(
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the "
            "HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and select the RESP "
            "protocol version at the same time"
        )
    if session is not client.session:
        client.let_in(session)
    if name is not None:
        client.name = name
    client.speak(protocol)
    facts: list[tuple[str, bytes]] = [
        ("server", text("soundstage")),
        ("version", text(REDIS_VERSION)),
        ("proto", integer(protocol)),
        ("id", integer(client.number)),
        ("mode", text("standalone")),
        ("role", text("master")),
        ("modules", EMPTY_ARRAY),
    ]
    return mapping(protocol, ((text(fact), value) for fact, value in facts))


def quit(client: Client, arguments: list[bytes]) -> bytes:
    """Close the connection once this is answered."""
    client.ends = True
    return OK


def reset(client: Client, arguments: list[bytes]) -> bytes:
    """Be as a connection is at its beginning."""
    client.reset()
    return simple("RESET")


def client(client: Client, arguments: list[bytes]) -> bytes:
    """What is known of connections, and what is to be known of this one."""
    part = arguments[1].upper()
    answer = _CLIENT.get(part)
    if answer is None:
        raise no_part("CLIENT", part)
    return answer(client, arguments)


def config(client: Client, arguments: list[bytes]) -> bytes:
    """Settings by name or pattern, as far as they mean something here."""
    part = arguments[1].upper()
    if part != b"GET" or len(arguments) < 3:
        raise CommandError(
            "ERR CONFIG GET is all that is offered: the door is configured in the stage file, under "
            f"[doors.{client.door.context.name}]"
        )
    known = _settings(client)
    wanted = [matcher(pattern.lower()) for pattern in arguments[2:]]
    found = [(name, value) for name, value in known.items() if any(matches(name.encode()) for matches in wanted)]
    return mapping(client.protocol, ((text(name), text(value)) for name, value in found))


def info(client: Client, arguments: list[bytes]) -> bytes:
    """What there is to say of the server, as lines."""
    context = client.door.context
    statistics = context.statistics
    up_s = (context.environment.monotonic_ns() - client.door.began_ns) // 1_000_000_000
    sections: dict[str, dict[str, object]] = {
        "Server": {
            "redis_version": REDIS_VERSION,
            "redis_mode": "standalone",
            "soundstage_version": __version__,
            "process_id": os.getpid(),
            "uptime_in_seconds": up_s,
        },
        "Clients": {
            "connected_clients": statistics.connections,
            "maxclients": context.config.max_connections,
        },
        "Stats": {
            "total_connections_received": statistics.opened,
            "rejected_connections": statistics.refused,
            "total_commands_processed": statistics.requests,
            "total_error_replies": sum(statistics.failures.values()),
            "total_net_input_bytes": statistics.received,
            "total_net_output_bytes": statistics.sent,
        },
        "Replication": {"role": "master", "connected_slaves": 0},
        "Cluster": {"cluster_enabled": 0},
    }
    wanted = {section.decode("utf-8", "replace").lower() for section in arguments[1:]}
    everything = not wanted or wanted & {"all", "default", "everything"}
    chosen = [name for name in sections if everything or name.lower() in wanted]
    parts = [
        f"# {name}\r\n" + "".join(f"{key}:{value}\r\n" for key, value in sections[name].items()) for name in chosen
    ]
    return text("\r\n".join(parts))


def _recognised(client: Client, credentials: list[bytes]) -> DoorSession:
    context = client.door.context
    *user, token = [each.decode("utf-8", "replace") for each in credentials]
    if not context.authenticates:
        return context.authenticate(None)
    try:
        session = context.authenticate(token)
    except Unauthenticated:
        raise CommandError("WRONGPASS invalid username-password pair or user is disabled.") from None
    if user and user[0] not in ("default", session.principal.name):
        raise CommandError("WRONGPASS invalid username-password pair or user is disabled.")
    return session


def _name(argument: bytes) -> str:
    name = argument.decode("utf-8", "replace")
    if len(argument) > NAME_MAX_BYTES or not all(33 <= ord(letter) <= 126 for letter in name):
        raise CommandError("ERR Client names cannot contain spaces, newlines or special characters.")
    return name


def no_part(name: str, part: bytes) -> CommandError:
    shown = part[:32].decode("utf-8", "replace")
    return CommandError(f"ERR '{name} {shown}' is not offered; parts of {name} are those that the docs name")


def _settings(client: Client) -> dict[str, str]:
    config = client.door.config
    return {
        "appendonly": "yes",
        "databases": str(client.door.databases),
        "maxclients": str(config.max_connections),
        "maxmemory": "0",
        "proto-max-bulk-len": str(int(config.max_request)),
        "save": "",
        "timeout": str(config.idle_timeout // 1_000_000_000),
    }


def _set_name(client: Client, arguments: list[bytes]) -> bytes:
    _need(arguments, 3)
    client.name = _name(arguments[2])
    return OK


def _get_name(client: Client, arguments: list[bytes]) -> bytes:
    return text(client.name) if client.name else client.null


def _id(client: Client, arguments: list[bytes]) -> bytes:
    return integer(client.number)


def _set_info(client: Client, arguments: list[bytes]) -> bytes:
    _need(arguments, 4)
    what, value = arguments[2].upper(), _name(arguments[3])
    if what == b"LIB-NAME":
        client.library = value
    elif what == b"LIB-VER":
        client.version = value
    else:
        raise CommandError("ERR Unrecognized option")
    return OK


def _ignored(client: Client, arguments: list[bytes]) -> bytes:
    """Nothing is evicted or touched here, so that either setting is what is done anyway."""
    _need(arguments, 3)
    if arguments[2].upper() not in (b"ON", b"OFF"):
        raise syntax()
    return OK


def _info(client: Client, arguments: list[bytes]) -> bytes:
    return text(_line(client))


def _list(client: Client, arguments: list[bytes]) -> bytes:
    """All connections to those who may observe the stage, to others their own."""
    session = client.session
    if session is None:
        raise CommandError(NO_AUTHENTICATION)
    if not allows(session.principal, "observe", None):
        return text(_line(client))
    found = [each.client for each in client.door.connections.values() if each.client is not None]
    return text("".join(_line(each) for each in found))


def _line(client: Client) -> str:
    age_s = (client.door.context.environment.monotonic_ns() - client.began_ns) // 1_000_000_000
    facts = {
        "id": client.number,
        "addr": client.address,
        "name": client.name,
        "age": age_s,
        "db": client.database,
        "resp": client.protocol,
        "lib-name": client.library,
        "lib-ver": client.version,
        "user": "" if client.session is None else client.session.principal.name,
    }
    return " ".join(f"{name}={value}" for name, value in facts.items()) + "\n"


def _need(arguments: list[bytes], count: int) -> None:
    if len(arguments) != count:
        raise CommandError("ERR wrong number of arguments for 'client' command")


_CLIENT: dict[bytes, Callable[[Client, list[bytes]], bytes]] = {
    b"SETNAME": _set_name,
    b"GETNAME": _get_name,
    b"ID": _id,
    b"SETINFO": _set_info,
    b"NO-EVICT": _ignored,
    b"NO-TOUCH": _ignored,
    b"INFO": _info,
    b"LIST": _list,
}
