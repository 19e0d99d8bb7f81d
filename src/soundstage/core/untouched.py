"""What clients do of themselves for systems whose messages stay as they are: a late call is sent a second time."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, NoReturn

from soundstage.core.attunement import Known, Signals
from soundstage.core.dictionaries import Dictionaries
from soundstage.core.errors import InvalidArgument
from soundstage.core.operation import Operation


class Untouched:
    """See `soundstage.core.attunement.Attunement`. It concerns the operations `names`; a handshake is `question`."""

    def __init__(self, names: Collection[str], question: Callable[[str], tuple[Operation[..., Any], Any]]) -> None:
        self._names = frozenset(names)
        self._question = question

    def concerns(self, operation: Operation[..., Any]) -> bool:
        return operation.name in self._names

    def namespaces(self, operation: Operation[..., Any], request: Any) -> Sequence[str]:
        # What is no name is left to the server, which says so better.
        return (request.namespace,) if type(request.namespace) is str else ()

    def urges(self, operation: Operation[..., Any], request: Any) -> bool:
        return False

    def question(self, namespace: str) -> tuple[Operation[..., Any], Any]:
        return self._question(namespace)

    def signals(self, reply: Any) -> Signals:
        return reply.signals

    def outgoing(self, operation: Operation[..., Any], request: Any, known: Known, dictionaries: Dictionaries) -> Any:
        return request

    def outgoing_us(self, operation: Operation[..., Any], request: Any, known: Known) -> int:
        return 0

    def incoming_us(self, operation: Operation[..., Any], message: Any, limit: int) -> int:
        return 0

    def wants(self, signals: Signals) -> str | None:
        return None

    def lacks(self, message: Any, dictionaries: Dictionaries) -> Sequence[str]:
        return ()

    def fetching(self, namespace: str, codec: str) -> NoReturn:
        raise InvalidArgument("this system has no dictionaries", field="codec", hint="ask for none")

    def is_coded(self, operation: Operation[..., Any], message: Any) -> bool:
        return False

    def incoming(self, operation: Operation[..., Any], message: Any, limit: int, dictionaries: Dictionaries) -> Any:
        return message
