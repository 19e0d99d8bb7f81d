"""Optimistic locking: many writers of one record over HTTP, none of whom undoes another."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple

from soundstage import SyncConnection, connect_sync, errors
from soundstage.data.kv import Condition, PutItem, SyncKeyValue
from soundstage.runtime.namespaces import NamespaceSpec, SyncNamespaces

KEY = b"names"
TRIES_MAX = 1_000


class Credits(NamedTuple):
    """The names as somebody read them, and the condition that nobody has written since."""

    names: list[str]
    unchanged: Condition


class Editor:
    """Reads and writes the credits of films."""

    def __init__(self, store: SyncKeyValue) -> None:
        self._store = store

    def read(self, film: str) -> Credits:
        reply = self._store.get_items(id=film)
        names = [json.loads(item.value or b"[]") for item in reply.items if item.key == KEY]
        token = reply.record_token
        return Credits(names[0] if names else [], Condition(token=token) if token else Condition(absent=True))

    def write(self, film: str, names: list[str], condition: Condition) -> None:
        """Raises `PreconditionFailed` when the condition does not hold; then nothing was written."""
        item = PutItem(key=KEY, value=json.dumps(names).encode())
        self._store.put_items(id=film, items=[item], condition=condition)

    def change(self, film: str, change: Callable[[list[str]], list[str]]) -> None:
        """`change` has been made to what was there, whatever others wrote meanwhile."""
        for _ in range(TRIES_MAX):
            credits = self.read(film)
            try:
                self.write(film, change(credits.names), credits.unchanged)
            except errors.PreconditionFailed:
                continue
            return
        raise errors.Exhausted(f"the credits of {film} were written by others {TRIES_MAX} times in a row")

    def add(self, film: str, name: str) -> None:
        self.change(film, lambda names: [*names, name])


def two_at_once(connection: SyncConnection) -> None:
    ada, grace = (Editor(connection.client(SyncKeyValue, "credits")) for _ in range(2))
    seen_by_grace = grace.read("tt0017136")
    ada.add("tt0017136", "Ada")
    try:
        grace.write("tt0017136", [*seen_by_grace.names, "Grace"], seen_by_grace.unchanged)
    except errors.PreconditionFailed as refusal:
        print(f"grace read before ada wrote, and is refused: {refusal.code}")
    print("grace reads again and writes")
    grace.add("tt0017136", "Grace")


def many_at_once(connection: SyncConnection, editors: int, names: int) -> None:
    def work(number: int) -> None:
        editor = Editor(connection.client(SyncKeyValue, "credits"))
        for name in range(names):
            editor.add("tt0017136", f"name {number}-{name}")

    print(f"{editors} editors add {names} names each")
    with ThreadPoolExecutor(editors) as threads:
        list(threads.map(work, range(editors)))


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


def main(url: str) -> None:
    with connect_sync(url) as connection:
        namespace = NamespaceSpec(name="credits", abstraction="kv")
        connection.client(SyncNamespaces).put(namespace=namespace)
        two_at_once(connection)
        many_at_once(connection, editors=4, names=10)
        names = Editor(connection.client(SyncKeyValue, "credits")).read("tt0017136").names
        print(f"the credits have {len(names)} names, {len(set(names))} of them different")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", help="a running stage; without it the program starts one of its own")
    chosen = parser.parse_args().url
    if chosen:
        main(chosen)
    else:
        with server() as started:
            main(started)
