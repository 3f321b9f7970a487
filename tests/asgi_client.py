"""An ASGI application driven by hand: what the server would say, step by step, and what the application answered."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from starlette.types import ASGIApp, Message, Scope

Headers: TypeAlias = Sequence[tuple[bytes, bytes]]


def http_scope(method: str, path: str, *, headers: Headers = (), **more: Any) -> Scope:
    """A scope as a server makes it; `more` adds or replaces members."""
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode("utf-8", "surrogatepass"),
        "query_string": b"",
        "root_path": "",
        "headers": list(headers),
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 8000),
        **more,
    }


def body_messages(*parts: bytes) -> list[Message]:
    """The `http.request` messages of a whole body, one for each part."""
    last = len(parts) - 1
    return [
        {"type": "http.request", "body": part, "more_body": index < last} for index, part in enumerate(parts or (b"",))
    ]


@dataclass
class Answer:
    """What the application sent, checked for the order that ASGI demands while it came in."""

    messages: list[Message] = field(default_factory=list)

    @property
    def started(self) -> bool:
        return bool(self.messages)

    @property
    def finished(self) -> bool:
        return len(self.messages) > 1 and not self.messages[-1].get("more_body", False)

    @property
    def status(self) -> int:
        return int(self.messages[0]["status"])

    @property
    def bodies(self) -> list[bytes]:
        """One item for each `send` of a body."""
        return [message.get("body", b"") for message in self.messages[1:]]

    @property
    def body(self) -> bytes:
        return b"".join(self.bodies)

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        """The error of an envelope that holds the four members and nothing else, under the headers it must have."""
        envelope = self.json
        assert envelope.keys() == {"error"}
        error: dict[str, Any] = envelope["error"]
        assert error.keys() == {"message", "type", "param", "code"}
        assert self.header("content-type") == "application/json"
        assert self.header("x-content-type-options") == "nosniff"
        assert self.header("content-length") == str(len(self.body))
        assert self.header("x-request-id")
        return error

    @property
    def events(self) -> list[Any]:
        """The payloads of an event stream: JSON, or the text `[DONE]`. Comments are passed over."""
        *events, rest = self.body.decode().split("\n\n")
        assert rest == ""
        payloads = [event.removeprefix("data: ") for event in events if not event.startswith(":")]
        return [payload if payload == "[DONE]" else json.loads(payload) for payload in payloads]

    def header(self, name: str) -> str | None:
        """The one header of that name; it must not come twice."""
        values = [value for key, value in self.messages[0]["headers"] if key == name.encode()]
        assert len(values) < 2, f"{name} came {len(values)} times"
        return values[0].decode("latin-1") if values else None


class Exchange:
    """One request: `receive` follows a script and then waits until the client leaves.

    Args:
        script: What `receive` gives, in this order; an exception is raised instead.
        leave_after: Messages of the answer after which the client leaves; None keeps it.
        send_error: Raised by `send` once the client has left; None takes what is sent and drops it.
    """

    def __init__(
        self,
        app: ASGIApp,
        scope: Scope,
        *,
        script: Iterable[Message | Exception] = (),
        leave_after: int | None = None,
        send_error: Exception | None = None,
    ) -> None:
        self.answer = Answer()
        self.received = 0
        self._app = app
        self._scope = scope
        self._script = list(script)
        self._leave_after = leave_after
        self._send_error = send_error
        self._left = asyncio.Event()
        self._sent = asyncio.Condition()

    async def run(self) -> Answer:
        await self._app(self._scope, self._receive, self._send)
        return self.answer

    def leave(self) -> None:
        """The client closes its connection."""
        self._left.set()

    async def sent(self, count: int) -> None:
        """Wait until the application has sent so many messages."""
        async with self._sent:
            await self._sent.wait_for(lambda: len(self.answer.messages) >= count)

    async def _receive(self) -> Message:
        self.received += 1
        if self._script:
            step = self._script.pop(0)
            if isinstance(step, Exception):
                raise step
            return step
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if self._left.is_set():
            if self._send_error is not None:
                raise self._send_error
            return
        kind = "http.response.body" if self.answer.started else "http.response.start"
        assert message["type"] == kind
        assert not self.answer.finished, "a message after the last one"
        async with self._sent:
            self.answer.messages.append(message)
            self._sent.notify_all()
        if len(self.answer.messages) == self._leave_after:
            self.leave()


async def request(
    app: ASGIApp, method: str, path: str, *, query: str = "", body: bytes = b"", headers: Headers = ()
) -> Answer:
    """One request with a whole body, to its end."""
    scope = http_scope(method, path, headers=headers, query_string=query.encode())
    answer = await Exchange(app, scope, script=body_messages(body)).run()
    assert answer.finished
    return answer


async def get(app: ASGIApp, path: str, *, headers: Headers = ()) -> Answer:
    return await request(app, "GET", path, headers=headers)


async def post(app: ASGIApp, path: str, value: object, *, headers: Headers = ()) -> Answer:
    """POST a value as JSON."""
    return await request(app, "POST", path, body=json.dumps(value).encode(), headers=headers)
