"""What GigaChat refuses in a chat request, with its literal bodies; each rule was seen on the wire or is documented."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

_NAME = re.compile(r"[A-Za-z_.-][A-Za-z0-9_.-]*")

SYNTAX = "Your request contains invalid JSON syntax."


class Refused(Exception):
    """A refusal: the status, and the message beside it in the body."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message

    @property
    def body(self) -> bytes:
        return json.dumps({"status": self.status, "message": self.message}, ensure_ascii=False).encode() + b"\n"


def check(body: Any, *, models: set[str], native_schema: bool, state_ids: bool, plain_history: bool) -> None:
    """Raise Refused for a body that GigaChat would not take."""
    if not isinstance(body, dict) or not isinstance(body.get("messages"), list) or not body["messages"]:
        raise Refused(400, SYNTAX)
    _parameters(body)
    if body.get("model") not in models:
        raise Refused(404, "No such model")
    for message in body["messages"]:
        _message(message, state_ids)
    _order(body["messages"])
    for function in body.get("functions") or ():
        _function(function)
    if not plain_history and "functions" not in body and any("function_call" in each for each in body["messages"]):
        raise Refused(422, "Invalid params: function calls in history need functions")
    _response_format(body.get("response_format"), native_schema)


def _parameters(body: dict[str, Any]) -> None:
    kinds = {"temperature": (int, float), "top_p": (int, float), "max_tokens": (int,), "stream": (bool,)}
    for name, kind in kinds.items():
        if name in body and not isinstance(body[name], kind):
            raise Refused(400, SYNTAX)
    if body.get("temperature", 1) <= 0 or body.get("max_tokens", 1) <= 0:
        raise Refused(400, SYNTAX)
    if body.get("repetition_penalty", 1) <= 0:
        raise Refused(422, "Invalid params: repetition_penalty must be in range (0, +inf)")
    choice = body.get("function_call")
    names = {function.get("name") for function in body.get("functions") or ()}
    if isinstance(choice, dict) and choice.get("name") not in names:
        raise Refused(422, f"Invalid params: Unknown tool {choice.get('name')}")
    if not isinstance(choice, dict) and choice not in (None, "auto", "none"):
        raise Refused(400, SYNTAX)


def _message(message: dict[str, Any], state_ids: bool) -> None:
    role = message.get("role")
    if role not in ("system", "user", "assistant", "function"):
        raise Refused(400, SYNTAX)
    call = message.get("function_call")
    if not isinstance(message.get("content"), str) and call is None:
        raise Refused(400, SYNTAX)
    if call is not None and not isinstance(call.get("arguments"), dict):
        raise Refused(400, SYNTAX)
    if "functions_state_id" in message and not state_ids:
        raise Refused(422, "Invalid params: functions_state_id is unknown")
    if len(message.get("attachments") or ()) > 1:
        raise Refused(422, "Invalid params: only one image per message is allowed")
    if role == "function":
        if not message.get("name"):
            raise Refused(422, "Invalid params: function result without a name")
        try:
            json.loads(message["content"])
        except ValueError:
            raise Refused(
                422,
                f"Invalid params: invalid function result json string `{message['content']}`, error: JSON parse error "
                "at line 1 column 1: Invalid value",
            ) from None


def _order(messages: list[dict[str, Any]]) -> None:
    if any(message["role"] == "system" for message in messages[1:]):
        raise Refused(422, "Invalid params: system message must be the first message")
    open_calls: list[str] = []
    for message in messages:
        if (call := message.get("function_call")) is not None:
            open_calls.append(call["name"])
        if message["role"] == "function":
            if message["name"] not in open_calls:
                raise Refused(
                    422,
                    "Invalid params: every assistant function result must have an assistant function call in history",
                )
            open_calls.remove(message["name"])
    if open_calls:
        raise Refused(422, "Invalid params: every assistant function call must have a result in history")
    if sum(len(message.get("attachments") or ()) for message in messages) > 10:
        raise Refused(422, "Invalid params: too many attachments")


def _function(function: dict[str, Any]) -> None:
    name = function.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise Refused(
            422,
            "Invalid params: Invalid function names. Only Latin letters (A-Z or a-z), underscore (_), hyphen (-), dot "
            f"(.) and digits (not leading) are allowed.: [{name}]",
        )
    if not isinstance(function.get("parameters"), dict):
        raise Refused(400, SYNTAX)
    for path, node in _nodes(function["parameters"], ""):
        if node.get("type") == "object" and "properties" not in node:
            raise Refused(422, f"Field '{path}properties' is missing")


def _nodes(node: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, node
    for name, child in (node.get("properties") or {}).items():
        if isinstance(child, dict):
            yield from _nodes(child, f"{path}properties.{name}.")
    if isinstance(items := node.get("items"), dict):
        yield from _nodes(items, f"{path}items.")


def _response_format(wanted: Any, native_schema: bool) -> None:
    match wanted:
        case None | {"type": "text"}:
            return
        case {"type": "json_schema", "schema": dict() as schema} if native_schema:
            if not schema:
                raise Refused(400, "Empty schema with json format type is not supported")
        case {"type": str() as kind}:
            raise Refused(400, f'Unknown type "{kind}" in response_format')
        case _:
            raise Refused(400, SYNTAX)
