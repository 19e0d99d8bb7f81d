"""A served stage from outside: starting, limits on connections, TLS, draining."""

from __future__ import annotations

import asyncio
import random
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from tests.runtime.notes.service import NotesService
from tests.surface.http.asgi_listener import ms
from tests.surface.http.conftest import OpenStage, Serve
from tests.surface.http.late.service import LateService
from tests.surface.http.wire import Wire, ask, request, several, until

from soundstage.catalogue import SYSTEMS
from soundstage.core.errors import InvalidArgument
from soundstage.core.system import System
from soundstage.core.time import Duration
from soundstage.engines.rocks.folder import holder
from soundstage.runtime.config import AuthConfig, HttpConfig, TlsConfig
from soundstage.runtime.stage import Stage
from soundstage.servers import ports
from soundstage.surface.http.server import Server

WRITE, DISTURB = "/v1/notes/write", "/v1/notes/disturb"
NOTE = {"namespace": "home", "name": "milk", "text": "two"}
WAIT = {"how": "wait"}


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2])


def free_port() -> int:
    """None that the system gives, in the meantime, to whoever asks for any."""
    return ports.free_port(["127.0.0.1"], random.Random(), set())


class TestStart:
    async def test_a_stage_is_served_at_the_address_returned(self, url: str) -> None:
        assert (await ask(url, WRITE, NOTE)).json() == {"written": 3}

    async def test_several_calls_go_on_at_once(self, url: str, notes: NotesService) -> None:
        async with await Wire.open(url) as first:
            await first.send(request(DISTURB, b'{"how":"wait"}'))
            await notes.entered.wait()
            assert (await ask(url, WRITE, NOTE)).status == 200
            notes.gate.set()
            assert (await first.response()).status == 200

    async def test_an_address_in_use_is_told(self, stage: Stage, serve: Serve) -> None:
        url = await serve(stage)
        server = Server(stage, HttpConfig(port=port_of(url)))
        with pytest.raises(OSError, match="in use"):
            await server.start()
        assert (await ask(url, WRITE, NOTE)).status == 200

    async def test_strangers_are_not_served_without_authentication(self, stage: Stage) -> None:
        with pytest.raises(InvalidArgument, match="no authentication is configured"):
            await Server(stage, HttpConfig(host="0.0.0.0", port=0)).start()

    async def test_an_address_of_version_6_is_written_in_brackets(self, stage: Stage) -> None:
        server = Server(stage, HttpConfig(host="::1", port=0))
        url = await server.start()
        try:
            assert url.startswith("http://[::1]:")
            assert (await ask(url, WRITE, NOTE)).status == 200
        finally:
            await server.stop()

    async def test_whoever_holds_the_folder_tells_its_address(self, tmp_path: Path, serve: Serve) -> None:
        async with Stage.open(data=tmp_path) as stage:
            url = await serve(stage)
            held = holder(str(tmp_path / "records")) or holder(str(tmp_path))
            assert held is not None
            assert held.url == url


class TestStarting:
    @pytest.fixture
    async def late(self) -> AsyncIterator[Stage]:
        system = System("late", "tests.surface.http.late", "Takes its time")
        async with Stage.open(data="memory:", systems=(*SYSTEMS, system)) as stage:
            yield stage

    async def test_until_every_system_has_started_the_stage_is_not_ready(self, late: Stage) -> None:
        service = late.systems.service("late")
        assert isinstance(service, LateService)
        port = free_port()
        server = Server(late, HttpConfig(port=port))
        starting = asyncio.create_task(server.start())
        await service.starting.wait()
        url = f"http://127.0.0.1:{port}"
        ready = await ask(url, "/health/ready", method="GET")
        call = await ask(url, "/v1/late/ask", {})
        live = await ask(url, "/health/live", method="GET")
        service.gate.set()
        await starting
        afterwards = await ask(url, "/health/ready", method="GET")
        await server.stop()
        assert (ready.status, ready.json()["reasons"]) == (503, ["the system 'late' is starting"])
        assert (call.status, call.json()["code"], call.json()["outcome"]) == (503, "unavailable", "not_applied")
        assert (live.status, afterwards.status) == (200, 200)

    async def test_a_system_that_cannot_start_leaves_nobody_listening(self, late: Stage) -> None:
        service = late.systems.service("late")
        assert isinstance(service, LateService)
        service.broken = True
        service.gate.set()
        port = free_port()
        with pytest.raises(RuntimeError, match="cannot start"):
            await Server(late, HttpConfig(port=port)).start()
        with pytest.raises(ConnectionError):
            await Wire.open(f"http://127.0.0.1:{port}")


class TestMetricsListener:
    @pytest.fixture
    async def observed(self, open_stage: OpenStage) -> AsyncIterator[tuple[str, str]]:
        """The addresses of a guarded stage and of its listener for metrics."""
        stage = await open_stage(auth={"mode": "tokens"})
        server = Server(stage, HttpConfig(port=0, metrics_listen="127.0.0.1:0"))
        url = await server.start()
        assert server.metrics_url is not None
        yield url, server.metrics_url.removesuffix("/metrics")
        await server.stop()

    @pytest.mark.parametrize("path", ["/metrics", "/health/live", "/health/ready"])
    async def test_it_shows_metrics_and_health_to_all(self, observed: tuple[str, str], path: str) -> None:
        assert (await ask(observed[1], path, method="GET")).status == 200

    @pytest.mark.parametrize("path", ["/", "/docs", "/openapi.json", "/status.json", "/console/notes/write", WRITE])
    async def test_it_shows_nothing_else(self, observed: tuple[str, str], path: str) -> None:
        assert (await ask(observed[1], path, method="GET")).status == 404
        assert (await ask(observed[1], path, NOTE)).status == 404

    async def test_the_other_listener_stays_guarded(self, observed: tuple[str, str]) -> None:
        assert (await ask(observed[0], "/metrics", method="GET")).status == 401

    @pytest.mark.parametrize("address", ["9100", ":9100", "127.0.0.1:", "127.0.0.1:http"])
    async def test_an_address_that_is_none_is_refused(self, stage: Stage, address: str) -> None:
        with pytest.raises(InvalidArgument) as caught:
            await Server(stage, HttpConfig(port=0, metrics_listen=address)).start()
        assert (caught.value.field, caught.value.hint) == ("http.metrics_listen", 'write "127.0.0.1:9100"')


class TestConnections:
    async def test_more_than_the_limit_are_told_to_wait(self, stage: Stage, serve: Serve) -> None:
        url = await serve(stage, max_connections=2)
        async with await Wire.open(url) as one, await Wire.open(url) as other:
            await one.ask(WRITE, NOTE)
            await other.ask(WRITE, NOTE)
            async with await Wire.open(url) as third:
                refusal = await third.response()
            assert (refusal.status, refusal.json()["code"]) == (429, "exhausted")
            assert (await one.ask(WRITE, NOTE)).status == 200

    @pytest.mark.parametrize("first", ["G", "POST /v1/notes/write HTTP/1.1\r\nX: ", ""])
    async def test_connections_that_drip_do_not_keep_others_out(self, stage: Stage, serve: Serve, first: str) -> None:
        limits = {"header_timeout": ms(50)} if first else {"idle_timeout": ms(250)}
        url = await serve(stage, max_connections=60, **limits)
        async with several(url, 50) as dripping:
            for wire in dripping if first else ():
                await wire.send(first.encode())
            assert (await ask(url, WRITE, NOTE)).status == 200
            for wire in dripping:
                assert bool(await wire.closed()) == bool(first)
        assert (await ask(url, WRITE, NOTE)).status == 200

    async def test_bodies_that_drip_do_not_keep_others_out(self, stage: Stage, serve: Serve) -> None:
        url = await serve(stage, body_timeout=ms(50))
        async with several(url, 50) as dripping:
            for wire in dripping:
                await wire.send(request(WRITE, b'{"na', length=100))
            assert (await ask(url, WRITE, NOTE)).status == 200
            for wire in dripping:
                assert (await wire.response()).status == 408

    async def test_an_oversized_body_is_refused_and_the_next_call_served(self, url: str) -> None:
        async with await Wire.open(url) as wire:
            sending = asyncio.create_task(wire.send(request(WRITE, bytes(20 << 20))))
            refusal = await wire.response()
            await sending
        assert (refusal.status, refusal.json()["code"]) == (413, "too_large")
        assert (await ask(url, WRITE, NOTE)).status == 200

    async def test_an_oversized_body_is_refused_before_it_is_sent(self, url: str) -> None:
        async with await Wire.open(url) as wire:
            await wire.send(request(WRITE, length=1 << 40))
            assert (await wire.response()).status == 413


class TestTls:
    @pytest.fixture
    def files(self, authority: trustme.CA, tmp_path: Path) -> TlsConfig:
        issued = authority.issue_cert("localhost")
        issued.private_key_and_cert_chain_pem.write_to_path(tmp_path / "server.pem")
        authority.cert_pem.write_to_path(tmp_path / "ca.pem")
        return TlsConfig(certificate=str(tmp_path / "server.pem"))

    async def test_calls_are_answered_over_tls(
        self, stage: Stage, serve: Serve, files: TlsConfig, trusting: ssl.SSLContext
    ) -> None:
        url = await serve(stage, tls=files)
        assert url.startswith("https://")
        async with await Wire.open(url, trusting) as wire:
            assert (await wire.ask(WRITE, NOTE)).status == 200

    async def test_a_client_without_a_certificate_is_not_let_in_where_one_is_wanted(
        self, stage: Stage, serve: Serve, files: TlsConfig, trusting: ssl.SSLContext, tmp_path: Path
    ) -> None:
        wanting = TlsConfig(certificate=files.certificate, client_ca=str(tmp_path / "ca.pem"))
        url = await serve(stage, tls=wanting)
        with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
            async with await Wire.open(url, trusting) as wire:
                await wire.ask(WRITE, NOTE)

    async def test_one_with_a_certificate_is(
        self,
        stage: Stage,
        serve: Serve,
        files: TlsConfig,
        trusting: ssl.SSLContext,
        authority: trustme.CA,
        tmp_path: Path,
    ) -> None:
        authority.issue_cert("someone").configure_cert(trusting)
        url = await serve(stage, tls=TlsConfig(certificate=files.certificate, client_ca=str(tmp_path / "ca.pem")))
        async with await Wire.open(url, trusting) as wire:
            assert (await wire.ask(WRITE, NOTE)).status == 200

    async def test_a_handshake_that_never_comes_is_ended_and_keeps_nobody_out(
        self, stage: Stage, serve: Serve, files: TlsConfig, trusting: ssl.SSLContext
    ) -> None:
        url = await serve(stage, tls=files, header_timeout=ms(1_000))
        async with several(url.replace("https", "http"), 20) as silent:
            async with await Wire.open(url, trusting) as wire:
                assert (await wire.ask(WRITE, NOTE)).status == 200
            for each in silent:
                assert await each.closed() == b""

    async def test_plain_http_at_the_port_of_tls_ends(
        self, stage: Stage, serve: Serve, files: TlsConfig, trusting: ssl.SSLContext
    ) -> None:
        url = await serve(stage, tls=files)
        async with await Wire.open(url.replace("https", "http")) as wire:
            await wire.send(request(WRITE, b"{}"))
            assert not (await wire.closed()).startswith(b"HTTP/")
        async with await Wire.open(url, trusting) as wire:
            assert (await wire.ask(WRITE, NOTE)).status == 200


class Served:
    """A server with a call under way in it, and a connection that is idle."""

    def __init__(self, stage: Stage, notes: NotesService, **limits: Any) -> None:
        self.server = Server(stage, HttpConfig(port=0, **limits))
        self.notes = notes

    async def __aenter__(self) -> Served:
        self.url = await self.server.start()
        self.busy, self.idle = await Wire.open(self.url), await Wire.open(self.url)
        await self.idle.ask(WRITE, NOTE)
        await self.busy.send(request(DISTURB, b'{"how":"wait"}'))
        await self.notes.entered.wait()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.notes.gate.set()
        await self.server.stop()
        self.busy.transport.abort()
        self.idle.transport.abort()

    async def stopping(self) -> asyncio.Task[None]:
        """The stop has begun."""
        stop = asyncio.create_task(self.server.stop())
        await until(lambda: any(application.closed for application in self.server.applications))
        return stop


class TestStop:
    async def test_calls_under_way_are_answered(self, stage: Stage, notes: NotesService) -> None:
        async with Served(stage, notes) as served:
            stop = await served.stopping()
            notes.gate.set()
            response = await served.busy.response()
            await stop
            assert (response.status, response.json()) == (200, {"count": 1})

    async def test_further_calls_are_refused_meanwhile(self, stage: Stage, notes: NotesService) -> None:
        async with Served(stage, notes) as served:
            await served.stopping()
            for response in (await served.idle.ask(WRITE, NOTE), await ask(served.url, WRITE, NOTE)):
                problem = response.json()
                assert (response.status, problem["code"], problem["outcome"]) == (503, "unavailable", "not_applied")
                assert (response.headers["retry-after"], problem["retryable"]) == ("1", True)

    async def test_the_stage_says_that_it_is_not_ready_and_why(self, stage: Stage, notes: NotesService) -> None:
        async with Served(stage, notes) as served:
            await served.stopping()
            ready = await ask(served.url, "/health/ready", method="GET")
            assert (ready.status, ready.json()["reasons"]) == (503, ["the server is stopping"])
            assert (await ask(served.url, "/health/live", method="GET")).status == 200

    async def test_then_nobody_listens_and_no_connection_is_open(self, stage: Stage, notes: NotesService) -> None:
        async with Served(stage, notes) as served:
            stop = await served.stopping()
            notes.gate.set()
            await stop
            assert await served.idle.closed() == b""
            with pytest.raises(ConnectionError):
                await Wire.open(served.url)

    async def test_a_call_that_does_not_end_in_time_is_broken_off(self, stage: Stage, notes: NotesService) -> None:
        async with Served(stage, notes, drain_timeout=Duration(50_000_000)) as served:
            await served.server.stop()
            assert await served.busy.closed() == b""

    async def test_one_that_has_no_task_has_been_cleaned_up_after_by_then(
        self, stage: Stage, notes: NotesService
    ) -> None:
        async with Served(stage, notes, drain_timeout=Duration(50_000_000)) as served:
            known = request(DISTURB, b'{"how":"tidy"}')
            notes.gate.set()
            await served.idle.send(known)
            assert (await served.idle.response()).status == 200
            notes.gate.clear()
            notes.entered.clear()
            await served.idle.send(known)
            await notes.entered.wait()
            await served.server.stop()
            assert notes.log.count("tidied") == 2

    async def test_stopping_again_changes_nothing(self, stage: Stage) -> None:
        server = Server(stage, HttpConfig(port=0))
        await server.stop()
        await server.start()
        await server.stop()
        await server.stop()


async def test_authentication_is_asked_for_of_every_call(open_stage: OpenStage, serve: Serve) -> None:
    stage = await open_stage(auth={"mode": "tokens"})
    assert stage.config.auth == AuthConfig(mode="tokens")
    response = await ask(await serve(stage), WRITE, NOTE)
    assert (response.status, response.headers["www-authenticate"]) == (401, 'Bearer realm="soundstage"')
