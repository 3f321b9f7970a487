"""A GigaChat that enforces the rules of the real one."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import re
import ssl
import time
import uuid
from collections import defaultdict, deque
from collections.abc import Callable
from typing import Any, Self
from urllib.parse import parse_qs

from tests.policies.virtual import now
from xrouter_asgi.providers.gigachat import AuthorizationKey

from .answers import compact, complete, deltas, embed
from .faults import JSON, STREAM, Events, Fault
from .http import Exchange, Server
from .rules import Refused, check

KEY = base64.b64encode(b"6f0b1291-c7f3-43c6-bb2e-9f3efb2dc98e:a-client-secret").decode()
MODELS = {
    "GigaChat-2": "chat",
    "GigaChat-2-Pro": "chat",
    "GigaChat-2-Max": "chat",
    "GigaChat-3-Ultra": "chat",
    "Embeddings": "embedder",
    "Embeddings-2": "embedder",
    "EmbeddingsGigaR": "embedder",
    "GigaCheckDetection": "aicheck",
}
_SCOPES = ("GIGACHAT_API_PERS", "GIGACHAT_API_B2B", "GIGACHAT_API_CORP")


class FakeGigaChat:
    """GigaChat's OAuth, chat, embeddings, models and files on 127.0.0.1. An async context manager.

    It answers `You said: <last message>`, word by word when streamed. With functions, a message that says
    `call NAME {json}` makes it call; a forced function, or a schema in `response_format`, gets `answers.sample()`.

    Knobs, which may be turned at any time:

        key, scope, user, password   what it lets in
        token_life                   seconds
        unix_clock                   what it tells the expiry of a token by
        token_shape                  "access_token" (with expires_at) or "tok" (with exp)
        token_unit                   1000 for milliseconds, 1 for seconds, 0 to tell no expiry
        parallel                     chats at once, above which it answers 429
        gate                         an Event on which chats wait before they answer; set at first
        models                       id -> type
        native_schema                whether it knows `response_format` with a schema
        state_ids                    whether it takes `functions_state_id` back
        plain_history                whether calls in the history need no functions
        usage                        "last", "missing" or "every" event of a stream
        event_size                   bytes per write of a stream; None writes event by event
        streams                      False answers JSON where a stream was asked for
        complete                     from the body of a chat to the whole answer; `answers.complete` at first

    What it saw: `requests` (all, in order), `asked(path)`, `oauth_calls`, `uploads` (id -> owner, MIME type, name,
    bytes), `deleted`, `chats` (under way), `peak` (most of them at once).

    Scripts: `script(path, *faults)` says how the next requests to that path (`/chat/completions`, `/oauth`, `/token`,
    `/files`, `/embeddings`, `/models`) are answered, see `faults`; `unscript(path)` takes the rest back. `revoke()`
    ends all tokens. To wait: `arrived(path, count)`, `quiet()` (no chat under way), `until(condition)`.
    """

    def __init__(
        self,
        *,
        scope: str = "GIGACHAT_API_PERS",
        parallel: int = 1,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.key = KEY
        self.scope = scope
        self.user = "user"
        self.password = "пароль"
        self.token_life = 1800.0
        self.token_shape = "access_token"
        self.token_unit = 1000
        self.parallel = parallel
        self.gate = asyncio.Event()
        self.gate.set()
        self.models = dict(MODELS)
        self.native_schema = True
        self.state_ids = True
        self.plain_history = False
        self.usage = "last"
        self.event_size: int | None = None
        self.streams = True
        self.complete: Callable[[dict[str, Any]], dict[str, Any]] = complete
        self.unix_clock: Callable[[], float] = time.time
        self.requests: list[Exchange] = []
        self.uploads: dict[str, tuple[str, str, str, bytes]] = {}
        self.deleted: list[str] = []
        self.chats = 0
        self.peak = 0
        self._server = Server(self._handle, tls=tls)
        self._tokens: dict[str, float] = {}
        self._issued = 0
        self._recent: deque[float] = deque()
        self._scripts: defaultdict[str, deque[Fault]] = defaultdict(deque)
        self._news = asyncio.Event()

    async def __aenter__(self) -> Self:
        await self._server.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._server.__aexit__(*exc)

    @property
    def base_url(self) -> str:
        return f"{self._server.url}/v1"

    @property
    def auth_url(self) -> str:
        return f"{self._server.url}/oauth"

    @property
    def credentials(self) -> AuthorizationKey:
        """What a provider of this account is made with."""
        return AuthorizationKey(self.key, scope=self.scope, url=self.auth_url)

    @property
    def oauth_calls(self) -> int:
        return len(self.asked("/oauth"))

    def asked(self, path: str) -> list[Exchange]:
        """The requests to a path."""
        return [request for request in self.requests if _local(request) == path]

    def bodies(self, path: str = "/chat/completions") -> list[Any]:
        """The JSON bodies that came to a path."""
        return [json.loads(request.body) for request in self.asked(path)]

    def script(self, path: str, *faults: Fault) -> None:
        """Answer the next requests to `path` with these, one each."""
        self._scripts[path].extend(faults)

    def unscript(self, path: str) -> None:
        """Take back what was scripted for `path` and has not been played."""
        self._scripts[path].clear()

    def revoke(self) -> None:
        """End all tokens."""
        self._tokens.clear()

    async def arrived(self, path: str, count: int = 1) -> None:
        """Wait until so many requests to `path` have come."""
        await self.until(lambda: len(self.asked(path)) >= count)

    async def quiet(self) -> None:
        """Wait until no chat is under way."""
        await self.until(lambda: self.chats == 0)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until `condition` holds; it is looked at when a request comes, a chat ends or a file is deleted."""
        async with asyncio.timeout(10):
            while not condition():
                self._news.clear()
                await self._news.wait()

    async def _handle(self, exchange: Exchange) -> None:
        self.requests.append(exchange)
        self._news.set()
        path = _local(exchange)
        chat = path == "/chat/completions"
        if chat:
            self.chats += 1
            self.peak = max(self.peak, self.chats)
        try:
            if script := self._scripts[path]:
                await script.popleft().play(exchange)
            else:
                await self.proper(exchange)
        except Refused as refused:
            await exchange.answer(refused.status, refused.body, self._headers(exchange, JSON))
        finally:
            if chat:
                self.chats -= 1
                self._news.set()

    async def proper(self, exchange: Exchange) -> None:
        """The proper answer, for scripts that only want to come before it."""
        path = _local(exchange)
        if path in ("/oauth", "/token"):
            status, body = self._oauth(exchange) if path == "/oauth" else self._login(exchange)
            await exchange.answer(status, json.dumps(body).encode(), {"Content-Type": "application/json"})
            return
        self._authorize(exchange)
        match path.split("/")[1:]:
            case ["chat", "completions"]:
                await self._chat(exchange)
                return
            case ["models"]:
                listed = [
                    {"id": name, "object": "model", "owned_by": "salutedevices", "type": kind}
                    for name, kind in self.models.items()
                ]
                answer: Any = {"object": "list", "data": listed}
            case ["embeddings"]:
                answer = embed(json.loads(exchange.body), self.models)
            case ["tokens", "count"]:
                answer = [
                    {"object": "tokens", "tokens": len(text.split()), "characters": len(text)}
                    for text in json.loads(exchange.body)["input"]
                ]
            case ["files"]:
                answer = self._upload(exchange)
            case ["files", file_id, "delete"]:
                self._owned(file_id, exchange)
                del self.uploads[file_id]
                self.deleted.append(file_id)
                self._news.set()
                answer = {"id": file_id, "deleted": True, "access_policy": "private"}
            case _:
                raise Refused(404, "Not Found")
        await exchange.answer(200, compact(answer), self._headers(exchange, JSON))

    # Tokens.

    def _oauth(self, exchange: Exchange) -> tuple[int, dict[str, Any]]:
        self._recent.append(now())
        while self._recent[0] <= now() - 1:
            self._recent.popleft()
        if len(self._recent) > 10:
            return 429, {"code": 429, "message": "Too many requests"}
        scheme, _, key = exchange.headers.get("authorization", "").partition(" ")
        try:
            decoded = base64.b64decode(key, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            decoded = ""
        if scheme not in ("Basic", "Bearer") or ":" not in decoded:
            return 400, {"code": 4, "message": "Can't decode 'Authorization' header"}
        try:
            version = uuid.UUID(exchange.headers.get("rquid", "")).version
        except ValueError:
            version = None
        if version != 4:
            return 400, {"message": "RqUID is missing or malformed"}
        form = parse_qs(exchange.body.decode())
        if exchange.headers.get("content-type") != "application/x-www-form-urlencoded" or "scope" not in form:
            return 400, {"code": 5, "message": "scope is empty"}
        if form["scope"][0] not in _SCOPES:
            return 400, {"code": 1, "message": "scope data format invalid"}
        if key != self.key:
            return 401, {"code": 6, "message": "credentials doesn't match db data"}
        if form["scope"][0] != self.scope:
            return 400, {"code": 7, "message": "scope from db not fully includes consumed scope"}
        return 200, self._issue()

    def _login(self, exchange: Exchange) -> tuple[int, dict[str, Any]]:
        pair = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        if exchange.headers.get("authorization") != f"Basic {pair}" or exchange.body:
            return 401, {"status": 401, "message": "Unauthorized"}
        return 200, self._issue()

    def _issue(self) -> dict[str, Any]:
        self._issued += 1
        token = f"token-{self._issued}"
        expires = self.unix_clock() + self.token_life
        self._tokens[token] = now() + self.token_life
        names = ("tok", "exp") if self.token_shape == "tok" else ("access_token", "expires_at")
        expiry = {names[1]: int(expires * self.token_unit)} if self.token_unit else {}
        return {names[0]: token, **expiry}

    def _authorize(self, exchange: Exchange) -> None:
        scheme, _, token = exchange.headers.get("authorization", "").partition(" ")
        if scheme != "Bearer" or token not in self._tokens:
            raise Refused(401, "Unauthorized")
        if self._tokens[token] <= now():
            raise Refused(401, "Token has expired")

    # Chat.

    async def _chat(self, exchange: Exchange) -> None:
        if self.chats > self.parallel:
            raise Refused(429, "Too many requests")
        try:
            body = json.loads(exchange.body)
        except ValueError:
            raise Refused(400, "Your request contains invalid JSON syntax.") from None
        check(
            body,
            models={name for name, kind in self.models.items() if kind == "chat"},
            native_schema=self.native_schema,
            state_ids=self.state_ids,
            plain_history=self.plain_history,
        )
        for message in body["messages"]:
            for file_id in message.get("attachments") or ():
                self._owned(file_id, exchange)
        await exchange.until(self.gate)
        answer = self.complete(body)
        if body.get("stream") and self.streams:
            events = Events(
                deltas(answer, usage=self.usage), size=self.event_size, headers=self._headers(exchange, STREAM)
            )
            await events.play(exchange)
        else:
            await exchange.answer(200, compact(answer), self._headers(exchange, JSON))

    # Files.

    def _upload(self, exchange: Exchange) -> dict[str, Any]:
        boundary = exchange.headers.get("content-type", "").partition("boundary=")[2]
        parts = [part.partition(b"\r\n\r\n") for part in exchange.body.split(f"--{boundary}".encode())[1:-1]]
        named = {re.search(rb'name="(.*?)"', head)[1]: (head, data[:-2]) for head, _, data in parts}  # type: ignore[index]  # each part has a name, or the test is wrong
        head, data = named.get(b"file", (b"", b""))
        mime = re.search(rb"Content-Type: (\S+)", head)
        name = re.search(rb'filename="(.*?)"', head)
        if mime is None or name is None or named.get(b"purpose", (b"", b""))[1] != b"general":
            raise Refused(400, "Invalid file")
        file_id = str(uuid.uuid4())
        self.uploads[file_id] = (exchange.headers["x-client-id"], mime[1].decode(), name[1].decode(), data)
        return {
            "id": file_id,
            "object": "file",
            "bytes": len(data),
            "created_at": int(self.unix_clock()),
            "filename": name[1].decode(),
            "purpose": "general",
            "access_policy": "private",
        }

    def _owned(self, file_id: str, exchange: Exchange) -> None:
        if file_id not in self.uploads:
            raise Refused(404, f"File '{file_id}' not found")
        if self.uploads[file_id][0] != exchange.headers.get("x-client-id"):
            raise Refused(403, f"Access to file '{file_id}' is denied")

    def _headers(self, exchange: Exchange, headers: Any) -> dict[str, str]:
        return {
            **headers,
            "Server": "SynGX",
            "X-Request-Id": exchange.headers.get("x-request-id", str(uuid.uuid4())),
            "X-Session-Id": exchange.headers.get("x-session-id", str(uuid.uuid4())),
        }


def _local(exchange: Exchange) -> str:
    path = exchange.path.partition("?")[0]
    return path.removeprefix("/v1")
