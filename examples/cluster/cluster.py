"""Two stages on one Cassandra: what the one writes the other reads, and of two who want one seat one gets it."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Generator
from contextlib import contextmanager

from soundstage import Stage
from soundstage.data.kv import Condition, KeyValue, PutItem
from soundstage.errors import PreconditionFailed
from soundstage.runtime.namespaces import Namespaces, NamespaceSpec
from soundstage.servers import Cluster

KEYSPACE = "cinema"


def stage(url: str, folder: str) -> Stage:
    """A stage whose records lie on the cluster; the folder holds nothing of theirs."""
    return Stage.open(config={"engines": {"default": {"url": url}}}, data=folder, variables={})


async def take(seats: KeyValue, who: str) -> str:
    """`who` has the seat, unless somebody else has it already."""
    item = PutItem(key=b"seat-7", value=who.encode())
    try:
        await seats.put_items(id="evening", items=[item], condition=Condition(key=b"seat-7", absent=True))
    except PreconditionFailed:
        return "taken"
    return "got it"


async def main(url: str) -> None:
    with tempfile.TemporaryDirectory() as here, tempfile.TemporaryDirectory() as there:
        async with stage(url, here) as one:
            films = NamespaceSpec(name="films", abstraction="kv")
            seats = NamespaceSpec(name="seats", abstraction="kv", config={"conditional_writes": True})
            for namespace in (films, seats):
                await one.client(Namespaces).put(namespace=namespace)
            async with stage(url, there) as two:
                item = PutItem(key=b"title", value=b"Metropolis")
                await one.client(KeyValue, "films").put_items(id="film-1", items=[item])
                found = await two.client(KeyValue, "films").get_items(id="film-1")
                print("the other stage reads", (found.items[0].value or b"").decode())
                both = (take(each.client(KeyValue, "seats"), name) for each, name in ((one, "Ada"), (two, "Bob")))
                print("of two who want the seat:", *sorted(await asyncio.gather(*both)))


@contextmanager
def server() -> Generator[str]:
    """A real Cassandra on this machine, fetched the first time, gone afterwards."""
    with Cluster("cassandra") as cluster:
        yield f"{cluster.url}/{KEYSPACE}"


if __name__ == "__main__":
    with server() as address:
        asyncio.run(main(address))
