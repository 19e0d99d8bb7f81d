"""How a server lets a connection in: by TLS, and by a user and password where it asks for them.

The login is that of memcached's ASCII protocols (`-Y`): a `set` of any key, whose value is the user and the password.
A server that asks nobody would store it, for all to read, so a server is first asked something else.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass

from soundstage.core.errors import Internal, InvalidArgument, SoundstageError, Unauthenticated, Unavailable
from soundstage.engines.cache.memcached.connection import Connection, Silent
from soundstage.engines.cache.memcached.options import MemcachedOptions
from soundstage.engines.secret import PLACES, secret_from
from soundstage.engines.tls import client_context

PING = b"mn\r\n"
"""To which a server says `MN`, unless it wants a login first."""

LOGIN_MAX_BYTES = 250
"""Of a user and of a password; servers read no longer ones from their file."""


@dataclass(frozen=True)
class Refusal:
    """Why a server does not let in, which waiting does not mend."""

    kind: type[SoundstageError]
    detail: str
    hint: str | None

    def error(self) -> SoundstageError:
        """The same as an error, a new one each time."""
        return self.kind(self.detail, hint=self.hint, outcome="not_applied", retryable=False)


class Entry:
    """What is shown at the door of each server, as the options say."""

    def __init__(self, options: MemcachedOptions) -> None:
        self._options = options
        self.encrypted: bool = options.tls or options.tls_ca is not None
        self.guarded: bool = self.encrypted or options.user is not None
        self._context: ssl.SSLContext | None = None

    def prepare(self) -> None:
        """Files of TLS have been read; passwords are read at each login. Raises `InvalidArgument`."""
        if self.encrypted:
            options = self._options
            self._context = client_context(options.tls_ca, options.tls_cert, options.tls_key, names=options.tls_names)

    def context(self) -> ssl.SSLContext | None:
        """By which to connect; None: without TLS."""
        return self._context

    async def enter(self, connection: Connection, server: str, within_s: float) -> None:
        """The connection may be used. Raises `Silent`, or whatever the server refuses it with."""
        if not self.guarded:
            return
        if await self._asks_for_login(connection, within_s):
            await self._log_in(connection, server, within_s)

    async def _asks_for_login(self, connection: Connection, within_s: float) -> bool:
        try:
            (reply,) = await connection.ask(PING, 1, within_s)
        except Silent:
            if isinstance(connection.lost, ssl.SSLError):
                raise turned_away(connection.lost) from None
            raise
        if reply.code == b"MN":
            return False
        if b"unauthenticated" in reply.flags:
            return True
        raise Internal("what listens there is no memcached 1.6 or newer", hint="check the address and the version")

    async def _log_in(self, connection: Connection, server: str, within_s: float) -> None:
        if self._options.user is None:
            raise no_login()
        words = self._words()
        (reply,) = await connection.ask(b"set login 0 0 %d\r\n%s\r\n" % (len(words), words), 1, within_s)
        if reply.code != b"STORED":
            raise Unauthenticated(
                f"the memcached {server} does not know the user or the password",
                hint=f"check user and {PLACES}, and the file that the server was started with (-Y)",
            )

    def _words(self) -> bytes:
        options = self._options
        found = [(options.user or "").encode(), secret_from(options.password_file, options.password_env).encode()]
        for name, word in zip(("user", "password_file"), found, strict=True):
            if not 0 < len(word) <= LOGIN_MAX_BYTES or any(byte <= 32 or byte == 127 for byte in word):
                raise InvalidArgument(
                    f"a memcached takes users and passwords of 1 to {LOGIN_MAX_BYTES} bytes without spaces",
                    field=name,
                    hint="choose another, here and in the file of the server",
                )
        return b" ".join(found)


def no_login() -> Unauthenticated:
    """A server wants a login, and none is configured."""
    return Unauthenticated(
        "the memcached wants a password", hint=f"name user and {PLACES} of the engine", outcome="not_applied"
    )


def turned_away(error: ssl.SSLError) -> SoundstageError:
    """What an error of TLS means."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return Unavailable(
            f"the memcached is not to be trusted: {error.verify_message}",
            hint="check tls_ca, and that the certificate names the host, or set tls_names to false",
        )
    reason = (error.reason or "").replace("_", " ").lower()
    if "certificate" in reason or "unknown ca" in reason or "handshake failure" in reason:
        return Unauthenticated(
            f"the memcached does not take our certificate: {reason}",
            hint="name one by tls_cert and tls_key that is signed by whom the server trusts",
        )
    return Unavailable(
        f"TLS with the memcached came to nothing: {reason or error}",
        hint="check that it speaks TLS at this port (-Z), and which versions",
    )
