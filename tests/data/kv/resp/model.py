"""What Redis answers to the commands that the door offers, as a dictionary: small, slow and plain."""

from __future__ import annotations

from random import Random
from typing import Any

WRONG = "WRONGTYPE"
FAULT = "ERR"


class Model:
    """Strings and hashes with an expiry in milliseconds. `now_ms` is the time of the server it is compared with."""

    def __init__(self) -> None:
        self.now_ms = 0
        self._values: dict[str, str | dict[str, str]] = {}
        self._ends: dict[str, int] = {}

    def ask(self, name: str, *words: Any) -> Any:
        """The reply: text for statuses, values and errors, of which only the first word; sets for what has no order."""
        for key in [key for key, end in self._ends.items() if self.now_ms >= end]:
            self._drop(key)
        found: Any = getattr(self, f"_{name.lower()}")(*map(str, words))
        return found

    def _drop(self, key: str) -> bool:
        self._ends.pop(key, None)
        return self._values.pop(key, None) is not None

    def _string(self, key: str) -> str | None:
        value = self._values.get(key)
        if isinstance(value, dict):
            raise TypeError
        return value

    def _hash(self, key: str) -> dict[str, str]:
        value = self._values.get(key, {})
        if isinstance(value, str):
            raise TypeError
        return value

    def _get(self, key: str) -> str | None:
        return self._string(key)

    def _set(self, key: str, value: str, *options: str) -> str | None:
        given = set(options)
        old = self._string(key) if "GET" in given else None
        exists = key in self._values
        if ("NX" in given and exists) or ("XX" in given and not exists):
            return old
        self._values[key] = value
        if "KEEPTTL" not in given:
            self._ends.pop(key, None)
        if "PX" in given:
            self._ends[key] = self.now_ms + int(options[options.index("PX") + 1])
        return old if "GET" in given else "OK"

    def _setnx(self, key: str, value: str) -> int:
        return 1 if self._set(key, value, "NX") == "OK" else 0

    def _getset(self, key: str, value: str) -> str | None:
        return self._set(key, value, "GET")

    def _getdel(self, key: str) -> str | None:
        value = self._string(key)
        self._drop(key)
        return value

    def _getex(self, key: str, *options: str) -> str | None:
        value = self._string(key)
        if value is not None and options:
            self._ends.pop(key, None)
            if options[0] == "PX":
                self._ends[key] = self.now_ms + int(options[1])
        return value

    def _strlen(self, key: str) -> int:
        return len(self._string(key) or "")

    def _mset(self, *words: str) -> str:
        for key, value in zip(words[::2], words[1::2], strict=True):
            self._set(key, value)
        return "OK"

    def _mget(self, *keys: str) -> list[str | None]:
        values = [self._values.get(key) for key in keys]
        return [value if isinstance(value, str) else None for value in values]

    def _del(self, *keys: str) -> int:
        return sum(self._drop(key) for key in keys)

    def _exists(self, *keys: str) -> int:
        return sum(key in self._values for key in keys)

    def _type(self, key: str) -> str:
        value = self._values.get(key)
        return "none" if value is None else "string" if isinstance(value, str) else "hash"

    def _dbsize(self) -> int:
        return len(self._values)

    def _pexpire(self, key: str, amount: str, *rules: str) -> int:
        if key not in self._values:
            return 0
        old, new = self._ends.get(key), self.now_ms + int(amount)
        rule = rules[0] if rules else ""
        if (
            (rule == "NX" and old is not None)
            or (rule == "XX" and old is None)
            or (rule == "GT" and (old is None or new <= old))
            or (rule == "LT" and old is not None and new >= old)
        ):
            return 0
        self._ends[key] = new
        if new <= self.now_ms:
            self._drop(key)
        return 1

    def _persist(self, key: str) -> int:
        return 1 if self._ends.pop(key, None) is not None else 0

    def _pttl(self, key: str) -> int:
        if key not in self._values:
            return -2
        return self._ends[key] - self.now_ms if key in self._ends else -1

    def _hset(self, key: str, *words: str) -> int:
        fields = self._hash(key)
        given = dict(zip(words[::2], words[1::2], strict=True))
        added = sum(field not in fields for field in given)
        self._values[key] = {**fields, **given}
        return added

    def _hsetnx(self, key: str, field: str, value: str) -> int:
        return 0 if field in self._hash(key) else self._hset(key, field, value)

    def _hget(self, key: str, field: str) -> str | None:
        return self._hash(key).get(field)

    def _hmget(self, key: str, *fields: str) -> list[str | None]:
        return [self._hash(key).get(field) for field in fields]

    def _hgetall(self, key: str) -> dict[str, str]:
        return dict(self._hash(key))

    def _hkeys(self, key: str) -> set[str]:
        return set(self._hash(key))

    def _hlen(self, key: str) -> int:
        return len(self._hash(key))

    def _hexists(self, key: str, field: str) -> int:
        return int(field in self._hash(key))

    def _hstrlen(self, key: str, field: str) -> int:
        return len(self._hash(key).get(field, ""))

    def _hdel(self, key: str, *fields: str) -> int:
        found = self._hash(key)
        gone = [found.pop(field) for field in fields if field in found]
        if not found:
            self._drop(key)
        return len(gone)


def expected(model: Model, words: tuple[Any, ...]) -> Any:
    """What the model answers, with the error for a wrong kind as its first word."""
    try:
        return model.ask(*words)
    except TypeError:
        return WRONG


class Commands:
    """Commands drawn at random: few keys and fields, so that they meet."""

    def __init__(self, seed: int) -> None:
        self._draw = Random(seed)

    def next(self) -> tuple[Any, ...]:
        """One command."""
        draw = self._draw
        kind = draw.choice(_KINDS)
        return (kind, *getattr(self, f"_{kind.lower()}", self._key_only)())

    def _key(self) -> str:
        return f"k{self._draw.randrange(4)}"

    def _field(self) -> str:
        return f"f{self._draw.randrange(4)}"

    def _value(self) -> str:
        return "x" * self._draw.randrange(4) + str(self._draw.randrange(100))

    def _key_only(self) -> tuple[Any, ...]:
        return (self._key(),)

    def _dbsize(self) -> tuple[Any, ...]:
        return ()

    def _set(self) -> tuple[Any, ...]:
        options: list[Any] = self._draw.choice(
            [[], [], [], ["PX", self._amount()], ["KEEPTTL"], ["NX"], ["XX"], ["GET"], ["XX", "GET", "KEEPTTL"]]
        )
        return (self._key(), self._value(), *options)

    def _amount(self) -> int:
        return self._draw.randrange(1, 40) * 100

    def _setnx(self) -> tuple[Any, ...]:
        return (self._key(), self._value())

    _getset = _setnx

    def _getex(self) -> tuple[Any, ...]:
        options: list[Any] = self._draw.choice([[], ["PX", self._amount()], ["PERSIST"]])
        return (self._key(), *options)

    def _mset(self) -> tuple[Any, ...]:
        return tuple(word for _ in range(self._draw.randrange(1, 4)) for word in (self._key(), self._value()))

    def _keys(self) -> tuple[Any, ...]:
        return tuple(self._key() for _ in range(self._draw.randrange(1, 4)))

    _mget = _del = _exists = _keys

    def _pexpire(self) -> tuple[Any, ...]:
        rules: list[str] = self._draw.choice([[], [], ["NX"], ["XX"], ["GT"], ["LT"]])
        return (self._key(), self._draw.choice([self._amount(), self._amount(), -5]), *rules)

    def _hset(self) -> tuple[Any, ...]:
        count = self._draw.choice([1, 1, 3])
        return (self._key(), *(word for _ in range(count) for word in (self._field(), self._value())))

    def _hsetnx(self) -> tuple[Any, ...]:
        return (self._key(), self._field(), self._value())

    def _hget(self) -> tuple[Any, ...]:
        return (self._key(), self._field())

    _hexists = _hstrlen = _hget

    def _hmget(self) -> tuple[Any, ...]:
        return (self._key(), *(self._field() for _ in range(self._draw.randrange(1, 4))))

    _hdel = _hmget


_KINDS = (
    *("GET", "SET", "SET", "SET", "SETNX", "GETSET", "GETDEL", "GETEX", "STRLEN", "MSET", "MGET", "DEL", "EXISTS"),
    *("TYPE", "DBSIZE", "PEXPIRE", "PEXPIRE", "PERSIST", "PTTL", "PTTL", "HSET", "HSET", "HSET", "HSETNX", "HGET"),
    *("HMGET", "HGETALL", "HKEYS", "HLEN", "HEXISTS", "HSTRLEN", "HDEL"),
)
