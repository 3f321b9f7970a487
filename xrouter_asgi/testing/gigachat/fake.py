"""A GigaChat that enforces the rules of the real one."""

from __future__ import annotations

import asyncio
import json
import re
import ssl
import uuid
from collections import defaultdict, deque
from collections.abc import Callable
from typing import Any, Self

from ...providers.gigachat import AuthorizationKey
from ..http import FakeExchange, FakeServer
from .account import Account
from .answers import compact, complete, deltas, embed
from .faults import JSON, STREAM, Events, Fault
from .rules import Refused, check

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


class FakeGigaChat(Account):
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
        super().__init__(scope)
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
        self.requests: list[FakeExchange] = []
        self.uploads: dict[str, tuple[str, str, str, bytes]] = {}
        self.deleted: list[str] = []
        self.chats = 0
        self.peak = 0
        self._server = FakeServer(self._handle, tls=tls)
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

    def asked(self, path: str) -> list[FakeExchange]:
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

    async def _handle(self, exchange: FakeExchange) -> None:
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

    async def proper(self, exchange: FakeExchange) -> None:
        """The proper answer, for scripts that only want to come before it."""
        path = _local(exchange)
        if path in ("/oauth", "/token"):
            status, body = self.grant(exchange) if path == "/oauth" else self.login(exchange)
            await exchange.answer(status, json.dumps(body).encode(), {"Content-Type": "application/json"})
            return
        self.authorize(exchange)
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

    # Chat.

    async def _chat(self, exchange: FakeExchange) -> None:
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

    def _upload(self, exchange: FakeExchange) -> dict[str, Any]:
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

    def _owned(self, file_id: str, exchange: FakeExchange) -> None:
        if file_id not in self.uploads:
            raise Refused(404, f"File '{file_id}' not found")
        if self.uploads[file_id][0] != exchange.headers.get("x-client-id"):
            raise Refused(403, f"Access to file '{file_id}' is denied")

    def _headers(self, exchange: FakeExchange, headers: Any) -> dict[str, str]:
        return {
            **headers,
            "Server": "SynGX",
            "X-Request-Id": exchange.headers.get("x-request-id", str(uuid.uuid4())),
            "X-Session-Id": exchange.headers.get("x-session-id", str(uuid.uuid4())),
        }


def _local(exchange: FakeExchange) -> str:
    path = exchange.path.partition("?")[0]
    return path.removeprefix("/v1")
