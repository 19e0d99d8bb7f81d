"""A checkout: an order, the stock and the customer's history are written as one set, which is never left half done."""

from __future__ import annotations

import asyncio
import tempfile
import time

from soundstage import IdempotencyToken, Instant, Stage
from soundstage.data.kv import DeleteMutation, KeyValue, MatchAll, Mutation, Predicate, PutItem, PutMutation
from soundstage.data.writeahead import MutationStatus, WriteAhead
from soundstage.runtime.namespaces import Namespaces, NamespaceSpec

SHOP = ("orders", "stock", "customers", "baskets")
EVERYTHING = Predicate(match_all=MatchAll())
LOOK_S = 0.02
LOOKS = 500


class Checkout:
    """Turns baskets into orders."""

    def __init__(self, stage: Stage) -> None:
        self._kv = stage.client(KeyValue)
        self._ahead = stage.client(WriteAhead)

    async def fill(self, customer: str, title: str) -> None:
        """The title is in the customer's basket."""
        await self._kv.put_items(namespace="baskets", id=customer, items=[PutItem(key=title.encode(), value=b"1")])

    async def order(self, customer: str, token: IdempotencyToken) -> str:
        """What is in the basket is an order, or is going to be; returns the name of the set."""
        basket = await self._kv.get_items(namespace="baskets", id=customer)
        titles = [item.key for item in basket.items]
        order = f"order-{token.token}"
        accepted = await self._kv.mutate_items(
            mutations=[
                put("orders", order, *titles),
                *(put("stock", title.decode(), order.encode()) for title in titles),
                put("customers", customer, order.encode()),
                Mutation(delete=DeleteMutation(namespace="baskets", id=customer, predicate=EVERYTHING)),
            ],
            idempotency_token=token,
        )
        return accepted.mutation_id

    async def settled(self, mutation_id: str) -> MutationStatus:
        """What has become of a set, once it is applied or dead."""
        for _ in range(LOOKS):
            status = await self._ahead.status(mutation_id=mutation_id)
            if status.state in ("applied", "dead"):
                return status
            await asyncio.sleep(LOOK_S)
        raise TimeoutError(mutation_id)

    async def count(self, namespace: str, id: str) -> int:
        return (await self._kv.count_items(namespace=namespace, id=id)).count


def put(namespace: str, id: str, *keys: bytes) -> Mutation:
    """Items with these keys, of which the key says everything."""
    items = [PutItem(key=key, value=b"") for key in keys]
    return Mutation(put=PutMutation(namespace=namespace, id=id, items=items))


async def open_shop(stage: Stage) -> Checkout:
    for name in SHOP:
        await stage.client(Namespaces).put(namespace=NamespaceSpec(name=name, abstraction="kv"))
    return Checkout(stage)


async def main(folder: str) -> None:
    async with Stage.open(data=folder) as stage:
        await show(await open_shop(stage))
    async with Stage.open(data=folder) as stage:
        checkout = Checkout(stage)
        print(f"after a restart the order has {await checkout.count('orders', 'order-1')} titles")


async def show(checkout: Checkout) -> None:
    for title in ("metropolis", "nosferatu"):
        await checkout.fill("ada", title)
    # Made when the order is: the set beats what was in the basket before, and nothing that is put there later.
    token = IdempotencyToken(Instant(time.time_ns()), "1")
    status = await checkout.settled(await checkout.order("ada", token))
    print(f"the order is {status.state}: {status.applied} of {status.mutations} mutations")
    print(f"titles in the order: {await checkout.count('orders', 'order-1')}")
    print(f"titles left in the basket: {await checkout.count('baskets', 'ada')}")
    print(f"orders in the history of ada: {await checkout.count('customers', 'ada')}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(main(folder))
