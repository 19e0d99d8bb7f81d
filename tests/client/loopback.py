"""A small server on a loopback socket that speaks enough of the wire to be called for real."""

from __future__ import annotations

import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec

from soundstage.core.codec import MSGPACK, decoder, msgpack_encode
from soundstage.core.errors import InvalidArgument
from soundstage.core.message import Duration, IdempotencyToken, Instant
from soundstage.data.kv.api import GetItems, GetItemsReply, Item, ItemMetadata, PutItems, PutItemsReply

TOKEN = IdempotencyToken(Instant(0), "t")
MINUTE = Duration(60 * 10**9)


class Crowded(ThreadingHTTPServer):
    """Lets as many wait to be taken as come at once: one that is turned away asks again after a second."""

    request_queue_size = 128


class Loopback:
    """Serves two pages of items for every record and accepts every put, in threads, until the block ends.

    Items are of the write that a read asks for. Puts are to be remembered.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.request_ids: list[str | None] = []
        self.authorizations: list[str | None] = []
        self._server = Crowded(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.url = f"{'http' if tls is None else 'https'}://localhost:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    def __enter__(self) -> Loopback:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                outer.request_ids.append(self.headers["x-request-id"])
                outer.authorizations.append(self.headers["authorization"])
                body = self.rfile.read(int(self.headers["content-length"]))
                status, content = answer(self.path, body)
                self.send_response(status)
                self.send_header("content-type", MSGPACK)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing."""

        return Handler


def answer(path: str, body: bytes) -> tuple[int, bytes]:
    """Status and body of the answer to one request."""
    if path.endswith("put_items"):
        request = decoder(PutItems, MSGPACK).decode(body)
        assert request.idempotency_token is not None
        return 200, msgpack_encode(PutItemsReply(idempotency_token=request.idempotency_token, remember_for=MINUTE))
    asked = decoder(GetItems, MSGPACK).decode(body)
    if not asked.id:
        refused = InvalidArgument("id is empty", field="id")
        return refused.status, msgspec.msgpack.encode(refused.problem("r"))
    page = 1 if asked.page_token is None else 2
    told = asked.min_version or TOKEN
    item = Item(key=f"page {page}".encode(), value=b"v", metadata=ItemMetadata(token=told, size=1))
    return 200, msgpack_encode(GetItemsReply(items=[item], next_page_token="2" if page == 1 else None))
