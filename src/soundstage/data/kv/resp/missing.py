"""Commands of Redis that the door does not offer, and why not."""

from __future__ import annotations

LISTS = "lists are no part of kv, whose records are strings or hashes"
SETS = "sets are no part of kv, whose records are strings or hashes"
SORTED_SETS = "sorted sets are no part of kv; items of a record are sorted by key, see kv/get_items"
STREAMS = "streams are no part of kv"
GEO = "places are no part of kv"
SKETCHES = "sketches are no part of kv"
COUNTING = "a count that is sent again after a lost reply would count twice; read, then SET what was computed"
TRANSACTIONS = (
    "kv has no transaction over several commands, and a pipeline runs without one; redis-py takes "
    "pipeline(transaction=False)"
)
MESSAGES = "nothing is published to channels"
SCRIPTS = "the door runs no scripts"
WHOLE = "it would touch every key; a namespace is emptied by namespaces/delete and namespaces/put"
WALKS = "it would read every key at once; use SCAN"
PARTS = "kv replaces values whole; read, then SET what was computed"
NAMES = "kv cannot rename or copy a record in one step; read it, write it under the other name, then DEL"
FIELDS = "fields of a hash expire with their key; kv/put_items takes a ttl for each item"
SEVERAL = "kv has no write over several keys that is done whole or not at all; use MSET, or SET with NX"
SERVING = "the server is administered by the stage file and by operations"
CLUSTER = "the door is no part of a cluster of Redis"
BINARY = "kv has its own form of export: namespaces/export"

_REASONS = {
    LISTS: "BLMOVE BLMPOP BLPOP BRPOP BRPOPLPUSH LINDEX LINSERT LLEN LMOVE LMPOP LPOP LPOS LPUSH LPUSHX LRANGE LREM "
    "LSET LTRIM RPOP RPOPLPUSH RPUSH RPUSHX SORT SORT_RO",
    SETS: "SADD SCARD SDIFF SDIFFSTORE SINTER SINTERCARD SINTERSTORE SISMEMBER SMEMBERS SMISMEMBER SMOVE SPOP "
    "SRANDMEMBER SREM SSCAN SUNION SUNIONSTORE",
    SORTED_SETS: "BZMPOP BZPOPMAX BZPOPMIN ZADD ZCARD ZCOUNT ZDIFF ZDIFFSTORE ZINCRBY ZINTER ZINTERCARD ZINTERSTORE "
    "ZLEXCOUNT ZMPOP ZMSCORE ZPOPMAX ZPOPMIN ZRANDMEMBER ZRANGE ZRANGEBYLEX ZRANGEBYSCORE ZRANGESTORE ZRANK ZREM "
    "ZREMRANGEBYLEX ZREMRANGEBYRANK ZREMRANGEBYSCORE ZREVRANGE ZREVRANGEBYLEX ZREVRANGEBYSCORE ZREVRANK ZSCAN ZSCORE "
    "ZUNION ZUNIONSTORE",
    STREAMS: "XACK XADD XAUTOCLAIM XCLAIM XDEL XGROUP XINFO XLEN XPENDING XRANGE XREAD XREADGROUP XREVRANGE XSETID "
    "XTRIM",
    GEO: "GEOADD GEODIST GEOHASH GEOPOS GEORADIUS GEORADIUSBYMEMBER GEORADIUSBYMEMBER_RO GEORADIUS_RO GEOSEARCH "
    "GEOSEARCHSTORE",
    SKETCHES: "PFADD PFCOUNT PFDEBUG PFMERGE PFSELFTEST",
    COUNTING: "DECR DECRBY HINCRBY HINCRBYFLOAT INCR INCRBY INCRBYFLOAT",
    TRANSACTIONS: "DISCARD EXEC MULTI UNWATCH WATCH",
    MESSAGES: "PSUBSCRIBE PUBLISH PUBSUB PUNSUBSCRIBE SPUBLISH SSUBSCRIBE SUBSCRIBE SUNSUBSCRIBE UNSUBSCRIBE MONITOR",
    SCRIPTS: "EVAL EVALSHA EVALSHA_RO EVAL_RO FCALL FCALL_RO FUNCTION SCRIPT",
    WHOLE: "FLUSHALL FLUSHDB SWAPDB",
    WALKS: "KEYS RANDOMKEY HRANDFIELD",
    PARTS: "APPEND BITCOUNT BITFIELD BITFIELD_RO BITOP BITPOS GETBIT GETRANGE LCS SETBIT SETRANGE SUBSTR",
    NAMES: "COPY MOVE RENAME RENAMENX",
    FIELDS: "HEXPIRE HEXPIREAT HEXPIRETIME HGETDEL HGETEX HPERSIST HPEXPIRE HPEXPIREAT HPEXPIRETIME HPTTL HSETEX HTTL",
    SEVERAL: "MSETNX",
    SERVING: "ACL BGREWRITEAOF BGSAVE DEBUG FAILOVER LASTSAVE LATENCY LOLWUT MEMORY MODULE OBJECT PSYNC REPLCONF "
    "REPLICAOF ROLE SAVE SHUTDOWN SLAVEOF SLOWLOG SYNC",
    CLUSTER: "ASKING CLUSTER READONLY READWRITE WAIT WAITAOF",
    BINARY: "DUMP MIGRATE RESTORE",
}

REASONS: dict[bytes, str] = {name.encode(): reason for reason, names in _REASONS.items() for name in names.split()}
"""Why each command that Redis has and the door has not is not offered."""
