"""`xrouter serve` with a certificate of its own."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import ssl
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
import trustme

from tests.cli.served import serve
from tests.edge import post
from xrouter_asgi.cli.main import main
from xrouter_asgi.server.certificate import Certificate
from xrouter_asgi.settings import Settings, SettingsError

SETTINGS = '[providers.echo]\nkind = "echo"\ndelay = 0\n[models.echo]\ntargets = ["echo/echo"]\n[server]\nport = 0\n'
READY = r"serves at https://127\.0\.0\.1:(\d+)/v1"
CHAT = {"model": "echo", "stream": True, "messages": [{"role": "user", "content": "one two"}]}


class Authority(trustme.CA):
    """Issues certificates of this machine, and is trusted by clients."""

    def issue(self, folder: Path) -> tuple[Path, Path]:
        """Write a new certificate and its key, in place of those before."""
        leaf = self.issue_cert("127.0.0.1")
        certificate, key = folder / "fullchain.pem", folder / "privkey.pem"
        leaf.private_key_pem.write_to_path(str(key))
        certificate.write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
        return certificate, key

    @property
    def trusted(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        self.configure_trust(context)
        return context


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "xrouter.toml"
    file.write_text(SETTINGS)
    return file


def port_in(said: str) -> int:
    return int(said.split("https://127.0.0.1:")[1].split("/")[0])


async def shown(port: int, trusted: ssl.SSLContext) -> bytes:
    """The certificate that a new client is shown."""
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusted)
    connection: ssl.SSLObject = writer.get_extra_info("ssl_object")
    der = connection.getpeercert(binary_form=True)
    writer.transport.abort()
    assert der is not None
    return der


def test_a_stream_arrives_over_https(
    config: Path, tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, key = authority.issue(tmp_path)

    async def ask(said: str) -> None:
        url = f"https://127.0.0.1:{port_in(said)}"
        async with httpx.AsyncClient(verify=authority.trusted, trust_env=False) as client:
            answer = await client.post(f"{url}/v1/chat/completions", json=CHAT)
            assert (answer.status_code, answer.text.rstrip()[-12:]) == (200, "data: [DONE]")
            assert (await client.get(f"{url}/health")).status_code == 200

    arguments = ("serve", "--config", str(config), "--ssl-certfile", str(certificate), "--ssl-keyfile", str(key))
    serve(monkeypatch, *arguments, ready=READY, ask=ask)


def test_a_client_that_is_refused_in_the_middle_of_its_request_reads_why(
    config: Path, tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, key = authority.issue(tmp_path)
    config.write_text(f'{SETTINGS}ssl_certfile = "{certificate.name}"\nssl_keyfile = "{key.name}"\n')

    async def ask(said: str) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port_in(said), ssl=authority.trusted)
        writer.write(post("content-length: 40000000", body=b"{", target="/v1/chat/completions"))
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 413 ")
        await reader.read()
        writer.close()
        await writer.wait_closed()

    serve(monkeypatch, "serve", "--config", str(config), ready=READY, ask=ask)


def test_what_speaks_no_tls_is_cut_off_and_others_are_served(
    config: Path, tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, key = authority.issue(tmp_path)

    async def ask(said: str) -> None:
        port = port_in(said)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /health HTTP/1.1\r\nhost: a\r\n\r\n")
        assert await reader.read() == b""
        writer.close()
        await shown(port, authority.trusted)

    arguments = ("serve", "--config", str(config), "--ssl-certfile", str(certificate), "--ssl-keyfile", str(key))
    serve(monkeypatch, *arguments, ready=READY, ask=ask)


def test_a_connection_without_room_is_closed(
    config: Path, tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One is served, four of its address are in the reserve; seventeen more are one too many to wait."""
    certificate, key = authority.issue(tmp_path)
    config.write_text(f"{SETTINGS}[admission]\nconnections = 1\n")

    async def ask(said: str) -> None:
        port = port_in(said)
        clients = [await asyncio.open_connection("127.0.0.1", port) for _ in range(1 + 4 + 16 + 1)]
        ends = [asyncio.create_task(reader.read()) for reader, _ in clients]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for _, writer in clients:
            writer.transport.abort()
        await asyncio.gather(*ends, return_exceptions=True)

    arguments = ("serve", "--config", str(config), "--ssl-certfile", str(certificate), "--ssl-keyfile", str(key))
    serve(monkeypatch, *arguments, ready=READY, ask=ask)


@pytest.mark.parametrize("renew", ["hang up", "change"])
def test_a_new_certificate_is_shown_without_a_restart(
    renew: str, config: Path, tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, key = authority.issue(tmp_path)
    if renew == "hang up":
        config.write_text(f"{SETTINGS}reload = false\n")

    async def ask(said: str) -> None:
        port = port_in(said)
        before = await shown(port, authority.trusted)
        assert await shown(port, authority.trusted) == before
        authority.issue(tmp_path)
        if renew == "hang up":
            os.kill(os.getpid(), signal.SIGHUP)
        async with asyncio.timeout(10):
            while await shown(port, authority.trusted) == before:  # noqa: ASYNC110 -- nothing else tells
                await asyncio.sleep(0.05)  # until the server looks at its signals or files again

    arguments = ("serve", "--config", str(config), "--ssl-certfile", str(certificate), "--ssl-keyfile", str(key))
    serve(monkeypatch, *arguments, ready=READY, ask=ask)


def test_a_certificate_that_cannot_be_used_leaves_the_old_one(
    tmp_path: Path, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    files = certificate, key = authority.issue(tmp_path)
    settings = Settings.parse(
        {"providers": {"echo": {"kind": "echo"}}, "server": {"ssl_certfile": str(certificate), "ssl_keyfile": str(key)}}
    )
    caplog.set_level(logging.INFO, "xrouter.server")
    kept = Certificate(settings.server.tls, files=files, watched=True)
    before = kept.context
    certificate.write_text("no certificate")
    assert [kept.due() for _ in range(2)] == [False, True]  # seen, and the same as when it was seen
    kept.renew()
    assert kept.context is before
    assert "The old one stays." in caplog.text
    assert not kept.due()
    authority.issue(tmp_path)
    assert [kept.due() for _ in range(2)] == [False, True]
    kept.renew()
    assert kept.context is not before


def test_a_certificate_that_cannot_be_used_is_told_before_anything_is_served(
    config: Path, tmp_path: Path, authority: Authority, capsys: pytest.CaptureFixture[str]
) -> None:
    certificate, _ = authority.issue(tmp_path)
    arguments = ["serve", "--config", str(config), "--ssl-certfile", str(certificate)]
    assert main(arguments) == 1
    assert "server has ssl_certfile" in capsys.readouterr().err


def _other_key(certificate: Path, key: Path, authority: Authority) -> None:
    authority.issue_cert("127.0.0.1").private_key_pem.write_to_path(str(key))


def _no_pem(certificate: Path, key: Path, authority: Authority) -> None:
    certificate.write_text("no certificate")


def _folder(certificate: Path, key: Path, authority: Authority) -> None:
    key.unlink()
    key.mkdir()


@pytest.mark.parametrize("spoil", [_other_key, _no_pem, _folder])
def test_a_certificate_and_a_key_that_do_not_fit_are_refused(
    spoil: Callable[[Path, Path, Authority], None], tmp_path: Path, authority: Authority
) -> None:
    certificate, key = authority.issue(tmp_path)
    spoil(certificate, key, authority)
    with pytest.raises(SettingsError, match="server has ssl_certfile"):
        Settings.parse(
            {
                "providers": {"echo": {"kind": "echo"}},
                "server": {"ssl_certfile": str(certificate), "ssl_keyfile": str(key)},
            }
        )


def test_a_key_without_a_certificate_is_refused(tmp_path: Path, authority: Authority) -> None:
    _, key = authority.issue(tmp_path)
    with pytest.raises(SettingsError, match="ssl_keyfile without ssl_certfile"):
        Settings.parse({"providers": {"echo": {"kind": "echo"}}, "server": {"ssl_keyfile": str(key)}})
