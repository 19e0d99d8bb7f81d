"""Free ports of the loopback, below those that the system gives to clients."""

from __future__ import annotations

import contextlib
import http.client
import random
import socket
from collections.abc import Sequence

from soundstage.core.errors import Unavailable

LOWEST, HIGHEST = 20_000, 32_000
TRIES = 200
ANSWER_BYTES_MAX = 1 << 20


def free_port(hosts: Sequence[str], chance: random.Random, taken: set[int]) -> int:
    """A port on which nobody listens at any of `hosts`, not in `taken`, to which it is added.

    It is not held: two who ask at once seldom get the same one, and the second to listen is refused.
    """
    for _ in range(TRIES):
        port = chance.randrange(LOWEST, HIGHEST)
        if port not in taken and all(is_free(host, port) for host in hosts):
            taken.add(port)
            return port
    raise Unavailable(f"no port from {LOWEST} to {HIGHEST} is free on {', '.join(hosts)}", retryable=True)


def is_free(host: str, port: int) -> bool:
    """Whether one could listen there."""
    with contextlib.closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True


def answers(host: str, port: int, question: bytes, expected: bytes, skip: int = 0) -> bool:
    """Whether what listens there answers `question` with `expected`, after `skip` bytes, within a second."""
    try:
        with socket.create_connection((host, port), timeout=1) as connection:
            connection.settimeout(1)
            connection.sendall(question)
            answer = b""
            while len(answer) < skip + len(expected):
                part = connection.recv(4096)
                if not part:
                    return False
                answer += part
    except OSError:
        return False
    return answer[skip:].startswith(expected)


def fetched(host: str, port: int, path: str) -> bytes | None:
    """What the HTTP server there answers a GET of `path` with, if that is whole, 200 and within a second."""
    connection = http.client.HTTPConnection(host, port, timeout=1)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read(ANSWER_BYTES_MAX)
        return None if answer.status != 200 or answer.length else body
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
