"""Whom a provider trusts, and how it identifies itself."""

from __future__ import annotations

import asyncio
import datetime
import logging
import socket
import ssl
import sys
from pathlib import Path

import certifi
import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from tests.providers.http.scripted_server import BOTH, OK, Make, Peer, answering, own, playing, serving, silent
from xrouter_asgi.errors import UpstreamError, UpstreamTimeout
from xrouter_asgi.providers.http import TLS, Timeouts, Upstream

both = pytest.mark.parametrize("make", BOTH)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def other() -> trustme.CA:
    return trustme.CA()


def server_tls(leaf: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    leaf.configure_cert(context)
    return context


def pem(authority: trustme.CA) -> str:
    return authority.cert_pem.bytes().decode()


async def fetched(context: ssl.SSLContext, server: ssl.SSLContext, make: Make = own) -> bytes:
    async with serving(answering(OK), tls=server) as upstream_server:
        upstream = Upstream(upstream_server.url, timeouts=Timeouts(connect=5), transport=make(context))
        try:
            return (await upstream.fetch("GET", "/")).body
        finally:
            await upstream.aclose()


@both
async def test_a_request_goes_over_tls(make: Make, authority: trustme.CA) -> None:
    server = server_tls(authority.issue_cert("localhost"))
    assert await fetched(TLS(pem(authority)).context(), server, make) == b"hi"


async def test_the_context_given_to_an_upstream_is_used(authority: trustme.CA) -> None:
    async with serving(answering(OK), tls=server_tls(authority.issue_cert("localhost"))) as server:
        upstream = Upstream(server.url, tls=TLS(pem(authority)))
        for _ in range(2):
            assert (await upstream.fetch("GET", "/")).body == b"hi"
        await upstream.aclose()
    assert server.connections == 1


@both
async def test_an_unknown_issuer_is_refused_and_the_operator_told_what_to_set(
    make: Make, authority: trustme.CA, other: trustme.CA
) -> None:
    with pytest.raises(UpstreamError) as caught:
        await fetched(TLS(pem(other)).context(), server_tls(authority.issue_cert("localhost")), make)
    error = caught.value
    assert (error.code, error.retryable) == ("tls_error", False)
    assert error.message == "The issuer of the upstream's certificate is not trusted."
    assert "unable to get local issuer certificate" in (error.detail or "")
    assert "'ca_bundle'" in (error.detail or "")


async def test_without_a_context_only_public_authorities_are_trusted(authority: trustme.CA) -> None:
    async with serving(answering(OK), tls=server_tls(authority.issue_cert("localhost"))) as server:
        for upstream in (Upstream(server.url), Upstream(server.url, transport=own())):
            with pytest.raises(UpstreamError) as caught:
                await upstream.fetch("GET", "/")
            assert caught.value.code == "tls_error"
            await upstream.aclose()


@both
async def test_a_certificate_for_another_name_is_refused(make: Make, authority: trustme.CA) -> None:
    with pytest.raises(UpstreamError) as caught:
        await fetched(TLS(pem(authority)).context(), server_tls(authority.issue_cert("elsewhere.test")), make)
    assert caught.value.code == "tls_error"
    assert caught.value.message == "The upstream's certificate was refused."
    assert "ostname mismatch" in (caught.value.detail or "")


async def test_an_expired_certificate_is_refused(authority: trustme.CA) -> None:
    past = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    leaf = authority.issue_cert("localhost", not_before=past, not_after=past + datetime.timedelta(days=1))
    with pytest.raises(UpstreamError) as caught:
        await fetched(TLS(pem(authority)).context(), server_tls(leaf))
    assert caught.value.code == "tls_error"
    assert "expired" in (caught.value.detail or "")


@both
async def test_tls_to_a_plain_port_is_a_tls_error(make: Make) -> None:
    async def plain(peer: Peer) -> None:
        await peer.reader.read(1)
        await peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with serving(plain) as server:
        upstream = Upstream(f"https://127.0.0.1:{server.port}", transport=make(TLS().context()))
        with pytest.raises(UpstreamError) as caught:
            await upstream.fetch("GET", "/")
        await upstream.aclose()
    assert caught.value.code == "tls_error"
    assert caught.value.message == "No secure connection to the upstream could be made."


async def test_a_handshake_that_hangs_meets_the_connect_timeout() -> None:
    async with serving(silent) as server:
        upstream = Upstream(f"https://127.0.0.1:{server.port}", timeouts=Timeouts(connect=0.1))
        with pytest.raises(UpstreamTimeout) as caught:
            await upstream.fetch("GET", "/")
        assert caught.value.code == "connect_timeout"
        await server.until_open(0)
        await upstream.aclose()


@both
async def test_a_short_body_over_tls_is_truncated(make: Make, authority: trustme.CA) -> None:
    short = playing(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhi")
    async with serving(short, tls=server_tls(authority.issue_cert("localhost"))) as server:
        upstream = Upstream(server.url, transport=make(TLS(pem(authority)).context()))
        with pytest.raises(UpstreamError) as caught:
            await upstream.fetch("GET", "/")
        await upstream.aclose()
    assert caught.value.code == "truncated"


def asking_for_a_certificate(authority: trustme.CA) -> ssl.SSLContext:
    context = server_tls(authority.issue_cert("localhost"))
    context.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(context)
    return context


@pytest.fixture
def client_files(authority: trustme.CA, tmp_path: Path) -> tuple[str, str]:
    leaf = authority.issue_cert("client@example.test")
    cert, key = tmp_path / "client.pem", tmp_path / "client.key"
    leaf.cert_chain_pems[0].write_to_path(cert)
    leaf.private_key_pem.write_to_path(key)
    return str(cert), str(key)


async def test_a_client_certificate_is_shown(authority: trustme.CA, client_files: tuple[str, str]) -> None:
    cert, key = client_files
    context = TLS(pem(authority), cert=cert, key=key).context()
    assert await fetched(context, asking_for_a_certificate(authority)) == b"hi"


@both
async def test_without_the_client_certificate_it_is_a_tls_error(make: Make, authority: trustme.CA) -> None:
    """In TLS 1.3 the refusal comes after the client thinks that the handshake is done."""
    context = asking_for_a_certificate(authority)

    def serve_once(listener: socket.socket) -> None:
        # Blocking, since asyncio's server closes before its alert is out.
        plain, _ = listener.accept()
        with plain:
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            tls = context.wrap_bio(incoming, outgoing, server_side=True)
            while True:
                try:
                    tls.do_handshake()
                except ssl.SSLWantReadError:
                    plain.sendall(outgoing.read())
                    incoming.write(plain.recv(1 << 16))
                except ssl.SSLError:
                    break
            plain.sendall(outgoing.read())
            # A reset would overtake the alert: close in order, after the client.
            plain.shutdown(socket.SHUT_WR)
            while plain.recv(1 << 16):
                pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving_once = asyncio.create_task(asyncio.to_thread(serve_once, listener))
        upstream = Upstream(
            f"https://localhost:{listener.getsockname()[1]}", transport=make(TLS(pem(authority)).context())
        )
        with pytest.raises(UpstreamError) as caught:
            await upstream.fetch("GET", "/")
        await upstream.aclose()
        await serving_once
    assert caught.value.code == "tls_error"


@pytest.fixture
def encrypted_key(client_files: tuple[str, str], tmp_path: Path) -> str:
    key = serialization.load_pem_private_key(Path(client_files[1]).read_bytes(), None)
    encrypted = tmp_path / "encrypted.key"
    encrypted.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"open sesame"),
        )
    )
    return str(encrypted)


async def test_an_encrypted_key_needs_its_password(
    authority: trustme.CA, client_files: tuple[str, str], encrypted_key: str
) -> None:
    cert, _ = client_files
    context = TLS(pem(authority), cert=cert, key=encrypted_key, key_password="open sesame").context()
    assert await fetched(context, asking_for_a_certificate(authority)) == b"hi"
    for wrong in (None, "swordfish"):
        with pytest.raises(ValueError, match="'key_password'"):
            TLS(cert=cert, key=encrypted_key, key_password=wrong).context()


async def test_http11_is_offered_by_alpn(authority: trustme.CA) -> None:
    chosen: list[str | None] = []

    async def note(peer: Peer) -> None:
        chosen.append(peer.writer.get_extra_info("ssl_object").selected_alpn_protocol())
        await answering(OK)(peer)

    context = server_tls(authority.issue_cert("localhost"))
    context.set_alpn_protocols(["h2", "http/1.1"])
    async with serving(note, tls=context) as server:
        upstream = Upstream(server.url, tls=TLS(pem(authority)))
        await upstream.fetch("GET", "/")
        await upstream.aclose()
    assert chosen == ["http/1.1"]


def subjects(context: ssl.SSLContext) -> set[object]:
    return {certificate["serialNumber"] for certificate in context.get_ca_certs()}


def test_extra_authorities_are_added_to_the_public_ones(authority: trustme.CA, other: trustme.CA) -> None:
    public = subjects(TLS().context())
    assert len(public) > 50
    assert len(subjects(TLS(pem(authority) + pem(other)).context()) - public) == 2
    # ... of this context alone.
    assert subjects(TLS().context()) == public


def test_a_bundle_may_be_a_file_or_a_directory(authority: trustme.CA, other: trustme.CA, tmp_path: Path) -> None:
    public = subjects(TLS().context())
    bundle = tmp_path / "root.pem"
    bundle.write_bytes("# Корневой сертификат\n".encode() + authority.cert_pem.bytes() + other.cert_pem.bytes())
    assert len(subjects(TLS(bundle).context()) - public) == 2
    assert len(subjects(TLS(str(bundle)).context()) - public) == 2
    directory = tmp_path / "roots"
    directory.mkdir()
    authority.cert_pem.write_to_path(directory / "one.pem")
    (directory / "two.crt").write_bytes(ssl.PEM_cert_to_DER_cert(pem(other)))
    (directory / "README").write_text("not a certificate")
    assert len(subjects(TLS(directory).context()) - public) == 2


def test_a_ready_context_is_taken_as_it_is() -> None:
    ready = ssl.create_default_context()
    assert TLS(ready).context() is ready
    with pytest.raises(ValueError, match="ready context"):
        TLS(ready, insecure=True).context()


def test_a_bundle_that_holds_nothing_is_refused(tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_text("nothing")
    bare = tmp_path / "bare"
    bare.mkdir()
    bundles: list[tuple[str | Path, str]] = [
        (tmp_path / "missing.pem", "cannot be read: No such file"),
        (empty, "holds no certificate"),
        (bare, r"without \*\.pem or \*\.crt"),
        ("-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n", "the text holds no certificate"),
    ]
    for bundle, words in bundles:
        with pytest.raises(ValueError, match=words):
            TLS(bundle).context()


def test_a_client_certificate_that_cannot_be_used_is_refused(client_files: tuple[str, str], tmp_path: Path) -> None:
    cert, key = client_files
    stranger = tmp_path / "stranger.key"
    trustme.CA().issue_cert("x.test").private_key_pem.write_to_path(stranger)
    with pytest.raises(ValueError, match="belong together"):
        TLS(cert=cert, key=str(stranger)).context()
    with pytest.raises(ValueError, match="cannot be read: No such file"):
        TLS(cert=str(tmp_path / "missing.pem")).context()
    with pytest.raises(ValueError, match="without 'cert'"):
        TLS(key=key).context()


def test_old_versions_of_tls_are_not_spoken() -> None:
    assert TLS().context().minimum_version == ssl.TLSVersion.TLSv1_2


async def test_insecure_checks_nothing_and_says_so_once(
    authority: trustme.CA, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "xrouter"):
        secure = TLS().context()
        assert caplog.records == []
        context = TLS(insecure=True).context()
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert secure.verify_mode == ssl.CERT_REQUIRED
    assert await fetched(context, server_tls(authority.issue_cert("elsewhere.test"))) == b"hi"


def test_tls_works_on_uvloop(authority: trustme.CA) -> None:
    uvloop = pytest.importorskip("uvloop")
    server = server_tls(authority.issue_cert("localhost"))
    assert uvloop.run(fetched(TLS(pem(authority)).context(), server)) == b"hi"
    with pytest.raises(UpstreamError, match="not trusted"):
        asyncio.run(fetched(TLS().context(), server))
    with pytest.raises(UpstreamError, match="not trusted"):
        uvloop.run(fetched(TLS().context(), server))


# Whom a provider trusts, in words and by the environment.


async def test_the_store_of_this_machine_may_take_the_place_of_the_public_authorities(
    authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = server_tls(authority.issue_cert("localhost"))
    authority.cert_pem.write_to_path(tmp_path / "store.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "store.pem"))
    assert await fetched(TLS("system").context(), server) == b"hi"
    monkeypatch.setenv("SSL_CERT_FILE", certifi.where())
    with pytest.raises(UpstreamError) as caught:
        await fetched(TLS("system").context(), server)
    assert caught.value.code == "tls_error"


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_where_the_system_checks_certificates_it_is_asked(platform: str, monkeypatch: pytest.MonkeyPatch) -> None:
    truststore = pytest.importorskip("truststore")
    monkeypatch.setattr(sys, "platform", platform)
    assert isinstance(TLS("system").context(), truststore.SSLContext)


def test_what_is_trusted_can_be_said(authority: trustme.CA, tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    assert [
        TLS().trusted,
        TLS("system").trusted,
        TLS(file).trusted,
        TLS(pem(authority)).trusted,
        TLS(TLS().context()).trusted,
        TLS(file, insecure=True).trusted,
    ] == [
        "the public authorities",
        "this machine's store",
        f"the public authorities and {file}",
        "the public authorities and a PEM text",
        "whom a ready context trusts",
        "anybody: certificates are not checked",
    ]


async def test_a_refusal_says_whom_is_trusted_now(authority: trustme.CA) -> None:
    async with serving(answering(OK), tls=server_tls(authority.issue_cert("localhost"))) as server:
        upstream = Upstream(server.url)
        with pytest.raises(UpstreamError) as caught:
            await upstream.fetch("GET", "/")
        await upstream.aclose()
    assert "SSL_CERT_FILE" in (caught.value.detail or "")
    assert (caught.value.detail or "").endswith("Trusted now: the public authorities.")
