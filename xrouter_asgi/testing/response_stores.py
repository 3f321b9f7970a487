"""What every store of responses promises: import all of it into a test module, and give the fixture `store`.

from xrouter_asgi.testing.response_stores import *

@pytest.fixture
async def store() -> AsyncIterator[ResponseStore]: ...
"""

from __future__ import annotations

from ..kept import ResponseStore
from ..wire import KeptResponse


def kept(id: str = "resp_1", *, ancestors: tuple[str, ...] = (), size: int = 100) -> KeptResponse:
    return KeptResponse(id, ancestors, b"[" + b" " * (size - 4) + b"]", b"{}")


async def test_what_was_put_is_found(store: ResponseStore) -> None:
    first, second = kept("resp_1"), kept("resp_2", ancestors=("resp_1",))
    await store.put("ann", first)
    await store.put("ann", second)
    assert await store.find("ann", ["resp_2", "resp_3", "resp_1"]) == {"resp_1": first, "resp_2": second}
    assert await store.find("ann", []) == {}


async def test_nobody_finds_what_another_was_answered(store: ResponseStore) -> None:
    await store.put("ann", kept())
    assert await store.find("bob", ["resp_1"]) == {}
    assert await store.find("", ["resp_1"]) == {}
    assert not await store.delete("bob", "resp_1")
    assert await store.find("ann", ["resp_1"])


async def test_what_is_deleted_is_gone(store: ResponseStore) -> None:
    await store.put("ann", kept())
    assert await store.delete("ann", "resp_1")
    assert not await store.delete("ann", "resp_1")
    assert await store.find("ann", ["resp_1"]) == {}


async def test_a_response_that_is_put_twice_is_kept_once(store: ResponseStore) -> None:
    await store.put("ann", kept(size=100))
    await store.put("ann", kept(size=200))
    assert (await store.find("ann", ["resp_1"]))["resp_1"].size == 200


async def test_a_name_is_anything_that_a_client_writes(store: ResponseStore) -> None:
    for name in ("", "a\0b", "\ud800", "x" * 100_000):
        assert await store.find(name, [name]) == {}
