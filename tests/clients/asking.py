"""What a client is asked to do, and what it says that it understood: the same words for every client and language.

A client in another language gets a `Question` as a line of JSON with these members, and answers with
`{"understood": {"choices": [{"text", "finish", "calls": [{"id", "name", "arguments"}]}], "usage": [in, out, total]}}`
or `{"error": {"kind", "message", "status", "code"}}`. Clients of other dialects say `finish` in the words of chat, and
give what they read of `reasoning`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from xrouter_asgi.testing.http import Handler

RESULT = "done"
"""What each tool returns in a loop."""

TOOLS = [
    {"name": name, "description": f"The tool {name}.", "parameters": {"type": "object", "properties": {}}}
    for name in ("bash", "read")
]
"""What every client offers."""

Usage: TypeAlias = tuple[int, int, int]


class AnyId:
    """Equal to any id that the gateway may make up."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and other != ""

    def __hash__(self) -> int:
        return 0

    def __repr__(self) -> str:
        return "any id"


@dataclass(frozen=True)
class Called:
    """A call of a tool, its arguments as a value."""

    name: str
    arguments: object
    id: str | AnyId = AnyId()  # noqa: RUF009 -- has no state

    @classmethod
    def of(cls, value: Mapping[str, Any]) -> Called:
        arguments = value["arguments"]
        return cls(value["name"], json.loads(arguments) if isinstance(arguments, str) else arguments, value["id"])


@dataclass(frozen=True)
class Said:
    """One choice of an answer."""

    text: str = ""
    calls: tuple[Called, ...] = ()
    finish: str = "stop"
    reasoning: str = ""


@dataclass(frozen=True)
class Answer:
    """All that a client understood."""

    choices: tuple[Said, ...]
    usage: Usage | None = None

    @classmethod
    def of(cls, value: Mapping[str, Any]) -> Answer:
        """What a client says, with its spellings evened out: no text is an empty text."""
        choices = tuple(
            Said(
                _joined(choice["text"] or ""),
                tuple(map(Called.of, choice["calls"])),
                choice["finish"],
                choice.get("reasoning") or "",
            )
            for choice in value["choices"]
        )
        return cls(choices, None if value["usage"] is None else (*value["usage"],))


def _joined(text: str) -> str:
    """Two halves of a surrogate pair are one character, which Python does not see when it puts texts together."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


class Failed(Exception):
    """A client raised.

    Attributes:
        kind: The class of its own exception.
        status: None for an error in the middle of a stream.
        code: None also from clients that do not show it.
    """

    def __init__(self, kind: str, message: str, status: int | None, code: str | None) -> None:
        super().__init__(f"{kind}: {message}")
        self.kind = kind
        self.message = message
        self.status = status
        self.code = code


@dataclass(frozen=True)
class Question:
    """What a client is to ask.

    Attributes:
        url: Of the gateway, up to and including `/v1`.
        content: Of the user's message: a text or parts.
        loop: Call the tools, and go on until there is an answer without calls.
        choices: How many to ask for.
        schema: Of the JSON that the answer has to be; None for a text.
    """

    url: str
    model: str
    content: str | list[dict[str, Any]] = "Hello?"
    stream: bool = False
    loop: bool = False
    choices: int = 1
    schema: dict[str, Any] | None = None


@dataclass(frozen=True)
class Case:
    """What an upstream sends and what is to be understood of it.

    Attributes:
        name: Which is also the model that is asked for.
        whole, stream: How the upstream answers a request of that kind; None if the case has none.
    """

    name: str
    answer: Answer
    whole: Handler | None = field(default=None, repr=False)
    stream: Handler | None = field(default=None, repr=False)

    @property
    def calls(self) -> tuple[Called, ...]:
        return self.answer.choices[0].calls


def described(calls: Iterable[tuple[str, object]]) -> str:
    """What the model says at the end of a loop: which calls, with which arguments, it knows the result of."""
    return ", ".join(f"{name}({json.dumps(arguments, sort_keys=True)}) is {RESULT}" for name, arguments in calls)
