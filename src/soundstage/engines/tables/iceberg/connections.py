"""Connections to a catalogue on PostgreSQL, none of which waits for an answer longer than it may.

A server that stands still answers no statement, and its machine goes on to say that it is there: neither the server's
own limits nor those of TCP end such a wait, so it ends here. The connection is closed then, and the server, when it
goes on, finds that nobody is there and takes back what was not committed.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from soundstage.core.environment import Environment
from soundstage.core.extras import library
from soundstage.core.time import NS_PER_S
from soundstage.engines.secret import secret_from
from soundstage.engines.tables.arrow import EXTRA
from soundstage.engines.tables.iceberg.driver import catalog, pool, sqlalchemy
from soundstage.engines.tables.iceberg.options import Address, IcebergOptions
from soundstage.engines.tables.iceberg.work import Work, work_here

psycopg: Any = library("psycopg", EXTRA)

LOOK_S = 0.1
"""So often it is looked whether somebody still waits."""

PROBES = 3
"""Without an answer, after which the machine of the database is gone."""


class _Bounded(psycopg.Connection):
    """Closed, and its statement an `OperationalError`, when an answer is late or nobody waits for it any more."""

    environment: Environment | None = None
    within_ns: int = 0

    def wait(self, gen: Any, interval: float = LOOK_S, timeout: float | None = None) -> Any:
        """See the driver."""
        return super().wait(self._watched(gen), min(interval, LOOK_S), timeout)  # pyright: ignore

    def _watched(self, steps: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
        """The same steps; between them it is looked whether to go on."""
        work = work_here()
        until_ns = None if self.environment is None else self.environment.monotonic_ns() + self.within_ns
        # Who has left does not have a change committed that it was told nothing of.
        self._check(work, until_ns)
        try:
            wanted = next(steps)
            while True:
                ready = yield wanted
                if not ready:
                    self._check(work, until_ns)
                wanted = steps.send(ready)
        except StopIteration as over:
            return over.value

    def _check(self, work: Work | None, until_ns: int | None) -> None:
        if work is not None and work.is_left:
            self._end("nobody waits for the answer")
        if self.environment is not None and until_ns is not None and self.environment.monotonic_ns() >= until_ns:
            self._end(f"no answer within {self.within_ns / NS_PER_S:g} s")

    def _end(self, words: str) -> None:
        self.pgconn.finish()
        raise psycopg.OperationalError(words)


def shared_catalogue(address: Address, properties: dict[str, str], environment: Environment) -> Any:
    """The catalogue, whose every call connects anew, so that nothing is left of a server that was restarted."""
    database = _database(address, environment)

    class Shared(catalog.SqlCatalog):
        """The driver's, which asks the database when it is made, by these connections too."""

        def _init_catalog(self) -> None:
            self.engine.dispose()
            self.engine = database
            super()._init_catalog()  # pyright: ignore

    return Shared(address.options.catalogue, **properties)


def _database(address: Address, environment: Environment) -> Any:
    within_ns = int(address.options.statement)
    milliseconds = max(1, within_ns // 1_000_000)
    seconds = max(1, within_ns // NS_PER_S)
    server = {"statement_timeout": milliseconds, "idle_in_transaction_session_timeout": milliseconds}
    settings: dict[str, Any] = {
        "options": " ".join(f"-c {name}={value}" for name, value in server.items()),
        "tcp_user_timeout": milliseconds,
        "keepalives_idle": seconds,
        "keepalives_interval": seconds,
        "keepalives_count": PROBES,
        **secrecy(address.options),
    }

    def connect() -> Any:
        _, given = made.dialect.create_connect_args(made.url)
        try:
            connection = _Bounded.connect(**{**settings, **given, **_login(address.options)})
        except psycopg.Error as error:
            # Whoever keeps the error would keep the connection that was being made, by where the error came from.
            raise error.with_traceback(None) from None
        connection.environment, connection.within_ns = environment, within_ns
        return connection

    made: Any = sqlalchemy.create_engine(address.database, poolclass=pool.NullPool, creator=connect)
    return made


def _login(options: IcebergOptions) -> dict[str, str]:
    """The password, as it is where it is kept when a connection is made."""
    if options.password_file is None and options.password_env is None:
        return {}
    return {"password": secret_from(options.password_file, options.password_env)}


def secrecy(options: IcebergOptions) -> dict[str, str]:
    """What the driver is told of TLS; nothing, and it is as its own environment says, where no authority is named."""
    if options.tls_ca is None:
        return {}
    files = {"sslrootcert": options.tls_ca, "sslcert": options.tls_cert, "sslkey": options.tls_key}
    given = {name: file for name, file in files.items() if file is not None}
    return {"sslmode": "verify-full" if options.tls_names else "verify-ca", **given}
