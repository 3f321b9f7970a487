"""What the check of a key costs, and whether wrong keys can be told apart by time: `python -m benchmarks.keys`.

Every wrong key is a new one, so each is looked up in SQLite. They take turns in any order, so that whatever else the
machine does falls on all kinds. A good key comes from the cache.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import statistics
import tempfile
import time
from ipaddress import IPv4Address
from pathlib import Path

from starlette.types import Message, Receive, Scope, Send

from tests.asgi_client import http_scope
from xrouter_asgi import APIKeyMiddleware
from xrouter_asgi.keys import CachedKeys, Hasher, Issuer, KeySpec, SQLKeyStore, new_secret
from xrouter_asgi.keys.secret import _checksum

ROUNDS = 500

_addresses = itertools.count(1)


async def _inside(scope: Scope, receive: Receive, send: Send) -> None:
    """The app behind the middleware does nothing."""


async def _receive() -> Message:
    return {"type": "http.request"}


async def _send(message: Message) -> None:
    pass


def _near(secret: str) -> str:
    """A key with a good one's first 35 characters, and a checksum that is right."""
    body = secret[:35] + new_secret()[35:40]
    return body + _checksum(body)


async def _seconds(app: APIKeyMiddleware, secret: str) -> float:
    client = (str(IPv4Address(next(_addresses))), 50000)  # of its own, since wrong keys are throttled by address
    scope = http_scope("GET", "/", headers=[(b"authorization", b"Bearer " + secret.encode())], client=client)
    start = time.perf_counter()
    await app(scope, _receive, _send)
    return time.perf_counter() - start


async def _measure(store: SQLKeyStore) -> dict[str, list[float]]:
    hasher = Hasher({1: "a pepper of at least 32 characters"})
    issuer = Issuer(store, by="benchmark", hasher=hasher)
    app = APIKeyMiddleware(_inside, store=CachedKeys(store, hasher=hasher))
    good = (await issuer.create(KeySpec())).secret
    taken: dict[str, list[float]] = {"unknown": [], "near miss": [], "revoked": [], "malformed": []}
    for _ in range(ROUNDS):
        issued = await issuer.create(KeySpec())
        await issuer.revoke(issued.key.id)
        secrets = (new_secret(), _near(good), issued.secret, new_secret()[:-1])
        turns = list(zip(taken, secrets, strict=True))
        random.shuffle(turns)  # the first one after a write finds cold pages
        for kind, secret in turns:
            taken[kind].append(await _seconds(app, secret))
    taken["good"] = [await _seconds(app, good) for _ in range(ROUNDS)]
    return taken


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = SQLKeyStore(f"sqlite:///{Path(folder) / 'keys.db'}")
        try:
            taken = await _measure(store)
        finally:
            await store.aclose()
    medians = {kind: statistics.median(seconds) for kind, seconds in taken.items()}
    for kind, median in medians.items():
        print(f"{kind:<10}{median * 1e6:8.0f} µs")
    looked_up = [medians[kind] for kind in ("unknown", "near miss", "revoked")]
    print(f"wrong keys differ by {(max(looked_up) - min(looked_up)) * 1e6:.0f} µs at most")


if __name__ == "__main__":
    asyncio.run(main())
