"""An operator's app with keys, over a router, and whoever may ask it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from tests.asgi_client import Answer, Headers, request
from xrouter_asgi.admin import AdminApp, LimitsUsed, ThisProcess
from xrouter_asgi.keys import Issued, Issuer, KeySpec, MemoryKeyStore
from xrouter_asgi.ledger import Budgets, MemoryLedger, Spend
from xrouter_asgi.limits import MemoryLimits
from xrouter_asgi.live import Live
from xrouter_asgi.middleware.request_events import RequestEventsMiddleware
from xrouter_asgi.reloading import ReloadableRouter, Reloaded
from xrouter_asgi.settings import Settings
from xrouter_asgi.standalone import build_router

SETTINGS = Settings.parse(
    {
        "providers": {"echo": {"kind": "echo", "models": ["a"]}, "other": {"kind": "echo", "models": ["b", "parrot"]}},
        "models": {"m": {"targets": ["echo/a", "other/b"]}, "p-*": {"targets": ["other/*"]}},
    }
)
HOST = (b"host", b"gateway.example")
SAME_ORIGIN = (b"sec-fetch-site", b"same-origin")


def bearer(secret: str) -> tuple[bytes, bytes]:
    return b"authorization", f"Bearer {secret}".encode()


@dataclass
class Stand:
    """The app, and what is around it. Make it with `Stand.open()`."""

    registry: MemoryKeyStore = field(default_factory=MemoryKeyStore)
    live: Live = field(default_factory=Live)
    ledger: MemoryLedger = field(default_factory=MemoryLedger)
    limits: MemoryLimits = field(default_factory=MemoryLimits)
    reloads: list[Reloaded] = field(default_factory=list)
    admin: Issued = field(init=False)
    reader: Issued = field(init=False)
    ordinary: Issued = field(init=False)

    def __post_init__(self) -> None:
        self.router = ReloadableRouter(SETTINGS, build=build_router)
        limit = "10 USD/calendar month per owner"
        budgets = Budgets(self.ledger, limit=limit, store=self.limits, keys=self.registry)
        spend = Spend(self.ledger, budgets=budgets)
        self.app = AdminApp(
            ThisProcess(self.router, self.live, limits=LimitsUsed(self.limits, limit=limit)),
            keys=self.registry,
            spend=spend,
            settings=lambda: self.router.settings,
            reload=self.reload,
        )
        self.served = RequestEventsMiddleware(self.router, observers=[self.live])
        self.issuer = Issuer(self.registry, by="test")

    @classmethod
    async def open(cls) -> Stand:
        """A stand with three keys: of an operator, of one who only looks, and an ordinary one."""
        stand = cls()
        made = stand.issuer.create
        stand.admin = await made(KeySpec(name="operator", scopes=frozenset({"admin"})), kind="admin")
        stand.reader = await made(KeySpec(name="reader", scopes=frozenset({"admin:read"})), kind="admin")
        # The right names of scopes on a key of another kind make nobody an operator.
        stand.ordinary = await made(KeySpec(name="<b>ann</b>", owner="ann", scopes=frozenset({"admin", "chat"})))
        return stand

    async def reload(self) -> Reloaded:
        return self.reloads.pop()

    async def ask(self, method: str, path: str, value: object = None, *, headers: Headers = ()) -> Answer:
        """Ask as the operator does with the key, or with other headers."""
        body = b"" if value is None else json.dumps(value).encode()
        path, _, query = path.partition("?")
        return await request(
            self.app, method, path, query=query, body=body, headers=[HOST, *(headers or [bearer(self.admin.secret)])]
        )

    async def sign_in(self, secret: str | None = None) -> tuple[str, str]:
        """Begin a session. Returns the cookie as a browser sends it back, and the token."""
        answer = await self.ask("POST", "/session", {"key": secret or self.admin.secret}, headers=[SAME_ORIGIN])
        assert answer.status == 200, answer.body
        cookie = answer.header("set-cookie")
        assert cookie is not None
        return cookie.partition(";")[0], answer.json["token"]

    async def chat(self, model: str = "m", **headers: str) -> Answer:
        """A chat of a client, which `live` sees."""
        body: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": "hi"}]}
        given = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        return await request(self.served, "POST", "/v1/chat/completions", body=json.dumps(body).encode(), headers=given)
