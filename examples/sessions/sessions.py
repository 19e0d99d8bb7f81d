"""Clients that follow their namespace while they run: from one knob on they compress what they write."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager

from soundstage import SyncConnection, connect_sync
from soundstage.client import Settings
from soundstage.data.kv import PutItem, SyncKeyValue
from soundstage.runtime.namespaces import NamespaceSpec, SyncNamespaces

KEY = b"watched"
BARE = Settings(attune=False)


def watched(member: str) -> bytes:
    """What a member has seen lately."""
    films = [{"title_id": 80_000_000 + number, "position_ms": 61_000 * number, "done": False} for number in range(12)]
    return json.dumps({"member_id": member, "films": films}).encode()


def write(store: SyncKeyValue, member: str) -> None:
    store.put_items(id=member, items=[PutItem(key=KEY, value=watched(member))])


def tell(namespaces: SyncNamespaces, *codecs: str) -> None:
    """The namespace takes these codecs from now on."""
    # Below 1 KiB too, which is left as it is unless the wire is what is dear.
    knobs = {"compression": {"codecs": list(codecs), "min_bytes": "512B"}}
    namespaces.put(namespace=NamespaceSpec(name="sessions", abstraction="kv", config=knobs))


def as_stored(url: str, member: str) -> str:
    """What a client sees that does not undo anything."""
    with connect_sync(url, settings=BARE) as bare:
        (item,) = bare.client(SyncKeyValue, "sessions").get_items(id=member).items
    less = item.metadata.size < len(watched(member)) // 3
    return f"{item.metadata.codec or 'as it is'}, {'less than a third' if less else 'all'} of its bytes"


def main(url: str, connection: SyncConnection) -> None:
    namespaces, store = connection.client(SyncNamespaces), connection.client(SyncKeyValue, "sessions")
    tell(namespaces)
    write(store, "ada")
    print("the namespace takes zstd from now on, and nobody is restarted")
    tell(namespaces, "zstd")
    # The reply to this one says that something has changed.
    store.get_items(id="ada")
    write(store, "joan")
    for member in ("ada", "joan"):
        (item,) = store.get_items(id=member).items
        seen = "whole" if item.value == watched(member) else "wrong"
        print(f"{member}: stored {as_stored(url, member)}, read {seen}")
    print(f"how often the client asked how to be: {connection.statistics.questions}")


@contextmanager
def server() -> Generator[str]:
    """The address of a server that runs until the block ends."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "soundstage", "up", "--data", folder, "--port", "0", "--output", "jsonl"]
        quiet = {**os.environ, "SOUNDSTAGE_TELEMETRY__LOG_LEVEL": "warning"}
        with subprocess.Popen(command, env=quiet, stdout=subprocess.PIPE, text=True) as process:
            try:
                line = process.stdout.readline() if process.stdout else ""
                yield json.loads(line)["url"]
            finally:
                process.terminate()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", help="a running stage; without it the program starts one of its own")
    chosen = parser.parse_args().url
    if chosen:
        with connect_sync(chosen) as connected:
            main(chosen, connected)
    else:
        with server() as started, connect_sync(started) as connected:
            main(started, connected)
