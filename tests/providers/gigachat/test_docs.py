"""What docs/gigachat.md says is what happens."""

from __future__ import annotations

import ast
import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import httpx
import pytest

import xrouter_asgi.providers.gigachat
import xrouter_asgi.queueing.slots
from xrouter_asgi.errors import XRouterError
from xrouter_asgi.providers.gigachat import GigaChatOptions, GigaChatProvider
from xrouter_asgi.providers.gigachat.files.types import LIMITS
from xrouter_asgi.providers.gigachat.response.errors import upstream_error
from xrouter_asgi.providers.http import ErrorReader, Redaction
from xrouter_asgi.settings.environment import gigachat as from_environment
from xrouter_asgi.settings.environment import variable
from xrouter_asgi.settings.providers import GigaChatSettings
from xrouter_asgi.wire import ChatRequest

from .translating import called, chat, result, said, tool, translated

PAGE = (Path(__file__).parents[3] / "docs/gigachat.md").read_text("utf-8")
TREES = [
    ast.parse(file.read_text("utf-8")) for file in Path(xrouter_asgi.providers.gigachat.__file__).parent.rglob("*.py")
]

LIKE_A_WORD = re.compile(r"\w+_(?:ignored|lowered|emulated|wrapped|missing|unsupported|unknown|error)")
REFUSALS = {"unsupported_parameter", "unsupported_value", "invalid_value", "array_above_max_length"}


def section(title: str) -> str:
    found = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None, title
    return found[1]


def rows(title: str) -> list[tuple[str, str]]:
    """The first two cells of each row in the tables of a section."""
    found = re.findall(r"^\| (.+?) \| (.+?) \|", section(title), re.MULTILINE)
    return [(first, second) for first, second in found if first not in ("OpenAI", "parameter")]


def codes(cell: str) -> list[str]:
    """What stands in backticks."""
    return re.findall(r"`([^`]+)`", cell)


def outcome(members: Mapping[str, Any], messages: list[Any], **options: Any) -> set[str]:
    """The warnings of a request, or the code that it is refused with."""
    try:
        return set(translated(chat(*messages, **members), **options).warnings)
    except XRouterError as error:
        return {str(error.code)}


# Whatever is to be tried of each parameter, so that all that can become of it becomes of it.
TRIED: dict[str, list[dict[str, Any]]] = {
    "stream": [{"stream": True}],
    "stream_options": [{"stream": True, "stream_options": {"include_usage": True}}],
    "max_completion_tokens": [{"max_completion_tokens": 9}, {"max_completion_tokens": 99}],
    "max_tokens": [{"max_tokens": 9}, {"max_tokens": 99}],
    "temperature": [{"temperature": 0}, {"temperature": 2}],
    "top_p": [{"top_p": 0}, {"top_p": 1}],
    "n": [{"n": 1}, {"n": 2}],
    "stop": [{"stop": "x"}, {"stop": ["x", "y"]}],
    "seed": [{"seed": 0}],
    "logit_bias": [{"logit_bias": {"1": 1}}],
    "presence_penalty": [{"presence_penalty": 0}, {"presence_penalty": 1}],
    "frequency_penalty": [{"frequency_penalty": 0}, {"frequency_penalty": 1}],
    "logprobs": [{"logprobs": False}, {"logprobs": True}],
    "top_logprobs": [{"top_logprobs": 0}, {"top_logprobs": 1}],
    "parallel_tool_calls": [{"parallel_tool_calls": False, "tools": [tool()]}],
    "reasoning_effort": [{"reasoning_effort": "high"}, {"reasoning_effort": "none"}, {"reasoning_effort": "some"}],
    "metadata": [{"metadata": {"a": "b"}}],
    "user": [{"user": "me"}],
    "prompt_cache_key": [{"prompt_cache_key": "k"}],
    "store": [{"store": True}],
    "service_tier": [{"service_tier": "flex"}],
    "safety_identifier": [{"safety_identifier": "me"}],
    "prompt_cache_options": [{"prompt_cache_options": {}}],
    "prompt_cache_retention": [{"prompt_cache_retention": "24h"}],
    "modalities": [{"modalities": ["text"]}, {"modalities": ["text", "audio"]}],
    "audio": [{"audio": {"voice": "alloy"}}],
    "web_search_options": [{"web_search_options": {}}],
    "storage": [{"storage": {"limit": 3}}],
    "profanity_check": [{"profanity_check": True}, {"profanity_check": 1}],
    "repetition_penalty": [{"repetition_penalty": 1.1}, {"repetition_penalty": 0}],
    "update_interval": [{"update_interval": 0.5}, {"update_interval": -1}],
    "flags": [{"flags": ["a"]}, {"flags": "a"}],
    "function_ranker": [{"function_ranker": {}}, {"function_ranker": 1}],
}
ELSEWHERE = {"model", "messages", "tools", "functions", "tool_choice", "function_call", "response_format"}


def parameters() -> Iterator[tuple[str, str]]:
    for cell, what in rows("Parameters of a chat"):
        for name in codes(cell):
            yield name, what


@pytest.mark.parametrize(("name", "what"), [row for row in parameters() if row[0] not in ELSEWHERE])
def test_what_is_said_of_a_parameter_happens(name: str, what: str) -> None:
    happened = set().union(*(outcome(members, [], max_tokens=50) for members in TRIED[name]))
    told = {word for word in codes(what) if word in REFUSALS or LIKE_A_WORD.fullmatch(word)}
    assert happened == told


def test_every_parameter_has_a_row() -> None:
    assert {name for name, _ in parameters()} == ChatRequest.model_fields.keys() | TRIED.keys() | ELSEWHERE


def test_an_unknown_parameter_is_named_in_its_warning() -> None:
    assert outcome({"verbosity": "low"}, []) == {"verbosity_ignored"}


IMAGE = {"type": "image_url", "image_url": {"url": "data:,x"}}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "s", "schema": {"type": "object"}}}


@pytest.mark.parametrize(
    ("title", "row", "members", "messages"),
    [
        ("Messages", "`assistant`", {}, [said("user"), said("assistant")]),
        (
            "Messages",
            "`assistant` with `tool_calls` or `function_call`",
            {},
            [said("assistant", None, tool_calls=[{"id": "1", "type": "custom"}])],
        ),
        ("Messages", "arguments that are no JSON object", {}, [called(("1", "f", "5")), result("1")]),
        ("Messages", "a call without its result", {}, [called(("1", "f", "{}")), said("user")]),
        ("Messages", "a result without its call", {}, [result("1")]),
        ("Messages", "`name` of a message", {}, [said("user", name="Ann")]),
        ("Messages", "part `text`, `refusal`", {}, [said("user", [{"type": "text", "text": "a"}])]),
        ("Messages", "part `image_url`", {}, [said("user", [IMAGE] * 11)]),
        (
            "Messages",
            "part `file` with `file_id`",
            {},
            [said("user", [{"type": "file", "file": {"file_id": "file-1"}}])],
        ),
        ("Messages", "other parts; any but text for `system` and `assistant`", {}, [said("system", [IMAGE])]),
        ("Messages", "other parts; any but text for `system` and `assistant`", {}, [said("user", [{"type": "video"}])]),
        ("Tools", "`tools` of type `function`; `functions`", {"tools": [tool(), tool()]}, []),
        ("Tools", "`tools` of type `function`; `functions`", {"tools": [tool()], "functions": [{"name": "g"}]}, []),
        ("Tools", "tools of other types", {"tools": [{"type": "custom"}]}, []),
        ("Tools", "JSON Schema", {"tools": [tool("f", {"$ref": "https://example.com/"})]}, []),
        ("Tools", "`required` with one function", {"tools": [tool()], "tool_choice": "required"}, []),
        ("Tools", "`required` with several", {"tools": [tool("f"), tool("g")], "tool_choice": "required"}, []),
        ("Tools", "`required` without tools; a function that is not among them", {"tool_choice": "required"}, []),
        (
            "Tools",
            "`required` without tools; a function that is not among them",
            {"tools": [tool("f")], "tool_choice": {"type": "function", "function": {"name": "g"}}},
            [],
        ),
        ("Tools", "other forms of `tool_choice`", {"tools": [tool()], "tool_choice": {"type": "custom"}}, []),
        ("Structured output", "`text`", {"response_format": {"type": "text"}}, []),
        (
            "Structured output",
            "`json_object`, or `json_schema` without a schema",
            {"response_format": {"type": "json_object"}},
            [],
        ),
        ("Structured output", "`json_schema`", {"response_format": SCHEMA}, []),
        ("Structured output", "another", {"response_format": {"type": "grammar"}}, []),
    ],
)
def test_what_is_said_of_a_form_happens(title: str, row: str, members: dict[str, Any], messages: list[Any]) -> None:
    what = dict(rows(title))[row]
    assert outcome(members, messages) == {
        word for word in codes(what) if word in REFUSALS or LIKE_A_WORD.fullmatch(word)
    }


def test_every_warning_is_told_of() -> None:
    warned = set()
    for node in (node for tree in TREES for node in ast.walk(tree)):
        match node:
            case ast.Call(func=ast.Attribute(attr="add"), args=[ast.Constant(value=str() as word)], keywords=[_, *_]):
                warned.add(word)
    assert len(warned) > 5
    assert [word for word in warned if f"`{word}`" not in PAGE] == []


@pytest.mark.parametrize(
    ("row", "status", "body"),
    [
        ("400", 400, b'{"message": "Odd"}'),
        ("402", 402, b'{"message": "Payment required"}'),
        ("403", 403, b'{"message": "Permission denied"}'),
        ("403", 403, b"<html><title>Forbidden</title></html>"),
        ("403", 403, b'{"message": "Temporarily unavailable due to technical reasons"}'),
        ("404, no such model", 404, b'{"message": "No such model"}'),
        ("404, no words or a page", 404, b""),
        ("404, other words", 404, b'{"message": "Odd"}'),
        ("408, 504", 408, b""),
        ("408, 504", 504, b""),
        ("413, or words about the context's length", 413, b""),
        ("413, or words about the context's length", 422, b'{"message": "context length exceeded"}'),
        ("422", 422, b'{"message": "Odd"}'),
        ("423", 423, b""),
        ("429", 429, b""),
        ("503", 503, b""),
        ("other 5xx", 500, b""),
        ("other 5xx", 502, b"<html></html>"),
    ],
)
def test_what_is_said_of_an_error_happens(row: str, status: int, body: bytes) -> None:
    what = dict(rows("Errors"))[row]
    error = upstream_error(status, httpx.Headers(), body, model="m", errors=ErrorReader(Redaction()))
    assert re.search(rf"\b{error.status}\b", what)
    assert error.code is None or f"`{error.code}`" in what


def test_the_environment_is_told_of(caplog: pytest.LogCaptureFixture) -> None:
    told = set(re.findall(r"GIGACHAT_\w+", "".join(first for first, _ in rows("Credentials"))))
    with caplog.at_level(logging.WARNING):
        from_environment(dict.fromkeys(told, "1"))
    assert caplog.messages == []
    known = {variable(("providers", "gigachat", name)) for name in GigaChatSettings.model_fields}
    assert known - {None} <= told


def test_every_option_is_told_of() -> None:
    assert [option.name for option in fields(GigaChatOptions) if not re.search(rf"`{option.name}\b", PAGE)] == []


def test_the_limits_of_files_are_those_of_the_page() -> None:
    found = re.findall(r"^\| (\w+) \| [^|]+ \| (\d+) MiB \|", section("Files"), re.MULTILINE)
    assert {kind: int(size) << 20 for kind, size in found} == LIMITS


def test_the_credentials_that_are_shown_can_be_used() -> None:
    names: dict[str, Any] = {}
    exec(re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)[0], names)  # noqa: S102 -- our own page
    shown = [value for value in names.values() if isinstance(value, GigaChatProvider)]
    assert len(shown) == 4


def test_what_troubles_is_said_by_the_package() -> None:
    slots = ast.parse(Path(xrouter_asgi.queueing.slots.__file__).read_text("utf-8"))
    said_here = " ".join(
        node.value
        for tree in [*TREES, slots]
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )
    quoted = [piece.strip() for row, _ in rows("Troubleshooting") for text in codes(row) for piece in text.split("…")]
    assert len(quoted) > 10
    assert [piece for piece in quoted if piece not in said_here] == []
