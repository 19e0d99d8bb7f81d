"""The cache port on memcached servers, by their meta protocol.

    memcached://user@host:11211,host2:11211?tls_ca=/etc/ca.pem

Each key has one node, by rendezvous hashing: when a node is added or taken away, only its share of the keys moves. A
node that does not answer is passed over, not replaced: its keys are misses until it is back. Servers 1.6 and newer.
"""

from __future__ import annotations

from soundstage.engines.cache.memcached.engine import MemcachedCache, open_memcached
from soundstage.engines.cache.memcached.options import MemcachedAddress, MemcachedOptions, addresses, parse_address

__all__ = [
    "MemcachedAddress",
    "MemcachedCache",
    "MemcachedOptions",
    "addresses",
    "open_memcached",
    "parse_address",
]
