from __future__ import annotations

import asyncio
import ipaddress
import ssl
from collections.abc import AsyncIterator, Callable, Sequence

import pytest
import trustme

from xrouter_asgi.errors import InvalidRequest
from xrouter_asgi.providers.gigachat.files.downloads import Downloads, is_public
from xrouter_asgi.testing.http import FakeExchange, FakeServer

PARAM = "messages[0].content[0].image_url"
LOCAL = ["127.0.0.0/8", "::1/128"]


class Store:
    """A file server that answers what is in `pages`: bytes, or an address to redirect to."""

    def __init__(self) -> None:
        self.pages: dict[str, bytes | str] = {}
        self.hosts: list[str] = []

    async def __call__(self, exchange: FakeExchange) -> None:
        self.hosts.append(exchange.headers["host"])
        page = self.pages.get(exchange.path)
        match page:
            case bytes():
                await exchange.answer(200, page)
            case str():
                await exchange.answer(302, b"", {"Location": page})
            case None:
                await exchange.answer(404)


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
async def url(store: Store) -> AsyncIterator[str]:
    async with FakeServer(store) as server:
        yield server.url


async def fetched(url: str, *, limit: int = 1 << 20, **arguments: object) -> bytes:
    downloads = Downloads(**{"allow_networks": LOCAL, **arguments})  # type: ignore[arg-type]  # whatever the test says
    try:
        return await downloads.get(url, limit=limit, param=PARAM)
    finally:
        await downloads.aclose()


def resolving(**names: Sequence[str]) -> Callable[[str, int], object]:
    async def resolve(host: str, port: int) -> Sequence[str]:
        return names.get(host.partition(".")[0], ())

    return resolve


def refused(reason: str) -> pytest.RaisesExc[InvalidRequest]:
    return pytest.raises(InvalidRequest, match=f"was not fetched: .*{reason}")


async def test_a_file_from_an_allowed_network_is_fetched(store: Store, url: str) -> None:
    store.pages["/a"] = b"bytes"
    assert await fetched(f"{url}/a") == b"bytes"


async def test_a_refusal_names_the_place_in_the_request(url: str) -> None:
    with refused("404") as caught:
        await fetched(f"{url}/nothing")
    assert (caught.value.status, caught.value.code, caught.value.param) == (400, "invalid_file_url", PARAM)
    assert "127.0.0.1" not in caught.value.message


async def test_nothing_inside_is_reached_unless_it_is_allowed(store: Store, url: str) -> None:
    store.pages["/a"] = b"bytes"
    with refused("public internet"):
        await fetched(f"{url}/a", allow_networks=[])
    assert store.hosts == []


@pytest.mark.parametrize(
    "address",
    [
        "https://127.0.0.1/", "https://127.1/", "https://2130706433/", "https://0x7f.1/", "https://localhost/",
        "https://0.0.0.0/", "https://10.0.0.1/", "https://172.16.0.1/", "https://192.168.1.1/", "https://100.64.0.1/",
        "https://169.254.169.254/latest/meta-data/", "https://[fd00:ec2::254]/", "https://168.63.129.16/",
        "https://224.0.0.1/", "https://255.255.255.255/", "https://[::1]/", "https://[::]/", "https://[fe80::1]/",
        "https://[fec0::1]/", "https://[ff02::1]/", "https://[::ffff:127.0.0.1]/", "https://[64:ff9b::7f00:1]/",
        "https://[2002:7f00:1::]/", "https://[2001:0:4136:e378:8000:63bf:80ff:fffe]/",
    ],
)  # fmt: skip
async def test_addresses_that_are_not_public_are_refused_in_every_spelling(address: str) -> None:
    with refused("public internet"):
        await fetched(address, allow_networks=[])


@pytest.mark.parametrize("address", ["8.8.8.8", "2a02:6b8::2:242", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_public_addresses_are_public_whatever_they_are_wrapped_in(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "address",
    [
        *("192.0.0.9", "192.0.0.192", "192.88.99.1", "198.18.0.1", "203.0.113.1", "240.0.0.1", "::8.8.8.8", "::7f00:1"),
        *("64:ff9b:1::808:808", "100::1", "2001:1::1", "2001:20::1", "2001:db8::1", "3fff::1", "5f00::1", "4000::1"),
    ],
)
def test_what_has_a_special_purpose_is_not_public_on_any_python(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))


async def test_plain_http_is_not_for_the_public_internet() -> None:
    with refused("only https"):
        await fetched("http://8.8.8.8/", allow_networks=[])


@pytest.mark.parametrize(
    "address",
    ["ftp://example.com/a", "file:///etc/passwd", "https:///a", "a.png", "", "https://user:secret@example.com/",
     "https://exa mple.com", "https://example.com:99999/", "gopher://127.0.0.1", "https://[::1"],
)  # fmt: skip
async def test_only_https_urls_are_taken(address: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await fetched(address)
    assert caught.value.code == "invalid_file_url"
    assert "secret" not in caught.value.message


async def test_one_forbidden_address_among_many_spoils_the_name() -> None:
    with refused("public internet"):
        await fetched("https://mixed.example/", resolve=resolving(mixed=["8.8.8.8", "10.0.0.1"]))


async def test_a_name_without_an_address_is_refused() -> None:
    with refused("no address"):
        await fetched("https://nowhere.example/", resolve=resolving(nowhere=[]))
    with refused("no address"):
        await fetched("https://zoned.example/", resolve=resolving(zoned=["fe80::1%eth0"]))


async def test_a_name_that_cannot_be_resolved_is_refused() -> None:
    async def resolve(host: str, port: int) -> Sequence[str]:
        raise OSError("no such name")

    with refused("could not be reached"):
        await fetched("https://example.com/", resolve=resolve)
    with refused("could not be reached"):
        await fetched(f"https://{'a' * 70}.example/")


async def test_the_connection_goes_to_the_address_that_was_checked_and_the_name_stays(store: Store, url: str) -> None:
    store.pages["/a"] = b"bytes"
    port = url.rpartition(":")[2]
    asked = []

    async def resolve(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["10.255.255.1"]

    assert await fetched(f"http://pictures.example:{port}/a", resolve=resolve) == b"bytes"
    assert asked == ["pictures.example"]
    assert store.hosts == [f"pictures.example:{port}"]


async def test_over_tls_the_certificate_is_checked_against_the_name(store: Store) -> None:
    store.pages["/a"] = b"bytes"
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("pictures.example").configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    resolve = resolving(pictures=["127.0.0.1"], other=["127.0.0.1"])
    async with FakeServer(store, tls=server) as https:
        port = https.url.rpartition(":")[2]
        assert await fetched(f"https://pictures.example:{port}/a", tls=client, resolve=resolve) == b"bytes"
        with refused("could not be reached"):
            await fetched(f"https://other.example:{port}/a", tls=client, resolve=resolve)
        with refused("could not be reached"):
            await fetched(f"https://pictures.example:{port}/a", resolve=resolve)


async def test_redirects_are_followed_five_times(store: Store, url: str) -> None:
    store.pages |= {f"/{number}": f"/{number + 1}" for number in range(5)}
    store.pages["/5"] = b"bytes"
    assert await fetched(f"{url}/0") == b"bytes"
    store.pages |= {"/5": f"{url}/6", "/6": b"bytes"}
    with refused("more than 5 times"):
        await fetched(f"{url}/0")


@pytest.mark.parametrize(
    "target", ["https://10.0.0.1/", "http://8.8.8.8/", "//169.254.169.254/", "https://[::ffff:10.0.0.1]/"]
)
async def test_each_redirect_is_checked_like_the_first_address(store: Store, url: str, target: str) -> None:
    store.pages["/a"] = target
    with refused("public internet"):
        await fetched(f"{url}/a")


@pytest.mark.parametrize("target", ["ftp://example.com/", "https://user:pass@example.com/", "https://[bad", ""])
async def test_a_redirect_to_nowhere_is_refused(store: Store, url: str, target: str) -> None:
    store.pages["/a"] = target
    with pytest.raises(InvalidRequest):
        await fetched(f"{url}/a")


async def test_a_file_beyond_the_limit_is_given_up_while_it_comes(url: str) -> None:
    gone = asyncio.Event()

    async def endless(exchange: FakeExchange) -> None:
        await exchange.start(200, {})
        try:
            while not exchange.gone.is_set():
                await exchange.write(bytes(1 << 16))
        finally:
            gone.set()

    async with FakeServer(endless) as server:
        with refused("more than 1 MiB"):
            await fetched(f"{server.url}/")
        await asyncio.wait_for(gone.wait(), 5)


async def test_a_compressed_file_is_refused() -> None:
    async def compressed(exchange: FakeExchange) -> None:
        await exchange.answer(200, b"...", {"Content-Encoding": "gzip"})

    async with FakeServer(compressed) as server:
        with refused("compressed"):
            await fetched(f"{server.url}/")


async def test_a_server_that_hangs_or_breaks_off_is_given_up() -> None:
    async def hang(exchange: FakeExchange) -> None:
        if exchange.path == "/break":
            exchange.reset()
        await exchange.gone.wait()

    async with FakeServer(hang) as server:
        with refused("took too long"):
            await fetched(f"{server.url}/", timeout=0.05)
        with refused("could not be reached"):
            await fetched(f"{server.url}/break")


async def test_an_ipv6_address_is_connected_to(store: Store) -> None:
    with refused("could not be reached|404"):
        await fetched("http://[::1]:9/")


def test_a_network_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="does not appear to be"):
        Downloads(allow_networks=["inside"])


async def test_downloads_that_never_began_can_be_closed() -> None:
    await Downloads().aclose()
