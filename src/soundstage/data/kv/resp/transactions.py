"""Transactions, which are not offered: of what was sent as one nothing is run."""

from __future__ import annotations

from soundstage.data.kv.resp.client import Client
from soundstage.data.kv.resp.faults import CommandError
from soundstage.data.kv.resp.missing import TRANSACTIONS
from soundstage.data.kv.resp.replies import OK

_PASSED_ON = (b"MULTI", b"RESET", b"QUIT")


def refuse(client: Client, arguments: list[bytes]) -> bytes | None:
    """The reply to DISCARD, which ends a transaction that was refused; None for a command that belongs to none.

    Raises `CommandError` for any other command of such a transaction, and for the EXEC that ends it.
    """
    name = arguments[0].upper()
    if name == b"MULTI":
        client.discards = True
    if not client.discards or name in _PASSED_ON:
        return None
    if name == b"DISCARD":
        client.discards = False
        return OK
    if name == b"EXEC":
        client.discards = False
        raise CommandError(f"EXECABORT Transaction discarded, nothing of it was run: {TRANSACTIONS}")
    raise CommandError("ERR not run, since MULTI before it was refused; EXEC or DISCARD ends what was to be one")
