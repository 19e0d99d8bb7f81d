"""A registry of one npm package, on loopback."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest


class NpmRegistry:
    """Answers `/tiny` with the package's description and `/tiny-1.0.0.tgz` with its bytes."""

    def __init__(self, address: str, cache: Path) -> None:
        self.address = address
        self.arguments = (f"--registry={address}", f"--cache={cache}", "--fetch-retries=0")
        self.description = b""
        self.sent = b""

    def serve(self, archive: bytes, *, sent: bytes | None = None) -> None:
        """Describe `archive`; send it, or `sent` in its place."""
        integrity = base64.b64encode(hashlib.sha512(archive).digest()).decode()
        version = {
            "name": "tiny",
            "version": "1.0.0",
            "dist": {"tarball": f"{self.address}tiny-1.0.0.tgz", "integrity": f"sha512-{integrity}"},
        }
        described = {"name": "tiny", "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": version}}
        self.description = json.dumps(described).encode()
        self.sent = archive if sent is None else sent


@pytest.fixture
def npm_registry(tmp_path: Path) -> Iterator[NpmRegistry]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = {"/tiny": registry.description, "/tiny-1.0.0.tgz": registry.sent}.get(self.path)
            self.send_response(404 if body is None else 200)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        registry = NpmRegistry(f"http://127.0.0.1:{server.server_port}/", tmp_path / "npm-cache")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield registry
        server.shutdown()
        thread.join()
