"""A case, and the text that it is recorded as.

A file is a list of sections: `client` is a request as it comes in, `upstream` one as it goes out, `answer` what the
application sent, `log` a line of the access log, which is written before the answer is known to be whole. An answer has
a line for each ASGI message: `start` with its status and one line for each header in the order sent, `more` and `last`
for a body with and without `more_body`. A line feed in a body is written as ⏎, a carriage return as ␍. A long JSON body
is written over many lines; it is known to be compact.

What cannot be fixed is replaced, and nothing else: see `_UNSTEADY` and `_RANDOM`. Equal ids get equal numbers.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from inspect import isawaitable
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias

from starlette.types import ASGIApp, Message, Scope

from tests.asgi_client import Exchange, body_messages, http_scope
from xrouter_asgi.testing.http import FakeExchange as Seen
from xrouter_asgi.testing.virtual import VirtualLoop

FOLDER = Path(__file__).parent / "cases"
ID = ("x-request-id", "golden")

_LONG = 2000  # characters of a JSON body, above which it is written over many lines
_UNSTEADY = (
    (re.compile(r'("\w+_ms":)\d+'), r"\1<ms>"),  # times of a decision
    (re.compile(r'("(?:duration|first_byte|first_token|took)":)[\d.e-]+'), r"\1<seconds>"),  # of the access log
    (re.compile(r'("time":)"[^"]+"'), r"\1<time>"),
    (re.compile(r"127\.0\.0\.1:\d{4,5}"), "<fake>"),  # where a fake upstream listens; clients are 127.0.0.1 alone
    (re.compile(r"xrouter-asgi/[\w.]+"), "xrouter-asgi/<version>"),
    (re.compile(r'("title": "xrouter_asgi",\s+"version": )"[\w.]+"'), r'\1"<version>"'),
)
_RANDOM = re.compile(  # UUIDs of version 4, also without hyphens, and the request ids that we make
    r"[0-9a-f]{8}-?[0-9a-f]{4}-?4[0-9a-f]{3}-?[89ab][0-9a-f]{3}-?[0-9a-f]{12}|(?<=req_)[0-9a-f]{32}"
)

_NONE: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True)
class Ask:
    """One request.

    Attributes:
        headers: Without a content type, which the router does not ask for.
        scope: Members of the scope that differ.
        leave_after: Messages of the answer after which the client leaves.
    """

    method: str
    path: str
    body: bytes = b""
    headers: Sequence[tuple[str, str]] = (ID,)
    scope: Mapping[str, Any] = field(default_factory=dict)
    leave_after: int | None = None


def get(path: str, *headers: tuple[str, str], **scope: Any) -> Ask:
    return Ask("GET", path, headers=(ID, *headers), scope=scope)


def post(path: str, value: object, *headers: tuple[str, str], **scope: Any) -> Ask:
    """POST bytes as they are, anything else as JSON."""
    body = value if isinstance(value, bytes) else json.dumps(value, ensure_ascii=False).encode()
    return Ask("POST", path, body, (ID, *headers), scope)


class Tape:
    """What happened, and what to close at the end: `closing`."""

    def __init__(self) -> None:
        self.closing = AsyncExitStack()
        self._seen: list[Seen] = []
        self._noted = 0
        self._sections: list[str] = []

    def note(self, title: str, *lines: str) -> None:
        self._sections.append("\n".join([f"== {title}", *lines]))

    def request(self, title: str, line: str, headers: Iterable[tuple[str, str]], body: bytes) -> None:
        shown = [_shown(body)] if body else []
        self.note(title, line, *(f"    {name}: {value}" for name, value in headers), *shown)

    def watch(self, seen: list[Seen]) -> None:
        """Note, before each answer, what a fake upstream on a socket has seen since the last one."""
        self._seen = seen

    def answer(self, *lines: str) -> None:
        for each in self._seen[self._noted :]:
            self.request("upstream", f"{each.method} {each.path}", each.headers.items(), each.body)
        self._noted = len(self._seen)
        self.note("answer", *lines)

    def log(self, line: str) -> None:
        """A sink of the access log."""
        self.note("log", line)

    def __str__(self) -> str:
        text = "\n\n".join(self._sections) + "\n"
        for pattern, replacement in _UNSTEADY:
            text = pattern.sub(replacement, text)
        numbers: dict[str, int] = {}

        def numbered(found: re.Match[str]) -> str:
            number = numbers.setdefault(found[0].replace("-", ""), len(numbers) + 1)
            return f"<uuid {number}>" if "-" in found[0] else f"<hex {number}>"

        return _RANDOM.sub(numbered, text)


Make: TypeAlias = Callable[[Tape], ASGIApp | Awaitable[ASGIApp]]


@dataclass(frozen=True)
class Case:
    """Requests to one application, one after the other.

    Attributes:
        name: Also of its file.
        make: Makes the application; told of what goes upstream and what is logged.
        sockets: Whether a fake upstream on a socket takes part: then time is real, and as nobody knows how many events
            one read returns, bodies are recorded as one.
    """

    name: str
    make: Make
    asks: Sequence[Ask]
    sockets: bool = False

    @property
    def file(self) -> Path:
        return FOLDER / f"{self.name}.txt"


def record(case: Case) -> str:
    """The text of a case. Except with sockets time is virtual, so no wait takes any."""
    with asyncio.Runner(loop_factory=None if case.sockets else VirtualLoop) as runner:
        return str(runner.run(_played(case)))


async def _played(case: Case) -> Tape:
    tape = Tape()
    async with tape.closing:
        app = case.make(tape)
        if isawaitable(app):
            app = await app
        for ask in case.asks:
            await _ask(app, ask, tape, whole=case.sockets)
    return tape


async def _ask(app: ASGIApp, ask: Ask, tape: Tape, *, whole: bool) -> None:
    headers = [(name.encode(), value.encode("latin-1")) for name, value in ask.headers]
    scope = http_scope(ask.method, ask.path, headers=headers, **ask.scope)
    shown = "".join(f" {name}={value!r}" for name, value in ask.scope.items())
    tape.request("client", f"{ask.method} {ask.path}{shown}", ask.headers, ask.body)
    if scope["type"] == "websocket":
        messages = await _knock(app, scope)
    else:
        exchange = Exchange(app, scope, script=body_messages(ask.body), leave_after=ask.leave_after)
        messages = (await exchange.run()).messages
    if whole:
        messages = [messages[0], {**messages[-1], "body": b"".join(each["body"] for each in messages[1:])}]
    left = ["the client left"] if ask.leave_after is not None else []
    tape.answer(*(line for message in messages for line in _lines(message)), *left)


async def _knock(app: ASGIApp, scope: Scope) -> list[Message]:
    messages = []

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        messages.append(message)

    await app(scope, receive, send)
    return messages


def _lines(message: Message) -> list[str]:
    """An ASGI message, with all that it holds."""
    rest = dict(message)
    kind = rest.pop("type")
    prefix = "websocket " if kind.startswith("websocket.http") else ""
    if kind.endswith("http.response.start"):
        lines = [f"{prefix}start {rest.pop('status')}"]
        lines += [f"    {name.decode('latin-1')}: {value.decode('latin-1')}" for name, value in rest.pop("headers")]
    elif kind.endswith("http.response.body"):
        lines = [f"{prefix}{'more' if rest.pop('more_body', False) else 'last'}  {_shown(rest.pop('body', b''))}"]
    else:
        lines, rest = [f"{kind} {rest}"], {}
    assert not rest, f"{kind} holds more: {rest}"
    return lines


def _shown(body: bytes) -> str:
    text = body.decode("utf-8", "backslashreplace")
    assert not set(text) & set("⏎␍"), "The signs for line ends are ambiguous."
    if len(text) > _LONG and text.startswith("{"):
        value = json.loads(text)
        assert json.dumps(value, ensure_ascii=False, separators=(",", ":")) == text
        return json.dumps(value, ensure_ascii=False, indent=1)
    text = text.replace("\n", "⏎").replace("\r", "␍")
    return text.replace("⏎⏎", "⏎⏎\n      ").removesuffix("\n      ")  # several events are easier to read one by one


async def pieces(each: Iterable[Any]) -> AsyncIterator[Any]:
    """Whatever comes piece by piece: a number waits so many seconds, an exception is raised, a function is called."""
    for piece in each:
        await asyncio.sleep(piece if isinstance(piece, float) else 0)
        if isinstance(piece, BaseException):
            raise piece
        if callable(piece):
            piece()
        elif not isinstance(piece, float):
            yield piece
