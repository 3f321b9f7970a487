"""What the fake says when it is asked properly: the same to the same question, always."""

from __future__ import annotations

import json
import re
import uuid
from typing import Any

from .rules import SYNTAX, Refused

_CALL = re.compile(r"call (\S+) (\{.*\})", re.DOTALL)


def compact(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def complete(body: dict[str, Any]) -> dict[str, Any]:
    message, finish = _message(body)
    usage = {"prompt_tokens": 17, "completion_tokens": 3, "total_tokens": 20, "precached_prompt_tokens": 2}
    return {
        "choices": [{"message": message, "index": 0, "finish_reason": finish}],
        "created": 1768996171,
        "model": f"{body['model']}:2.0.28.2",
        "object": "chat.completion",
        "usage": usage,
    }


def _message(body: dict[str, Any]) -> tuple[dict[str, Any], str]:
    functions = {function["name"]: function for function in body.get("functions") or ()}
    said = body["messages"][-1]["content"]
    wanted = _CALL.search(said)
    name = arguments = None
    if isinstance(choice := body.get("function_call"), dict):
        name, arguments = choice["name"], sample(functions[choice["name"]]["parameters"])
    elif wanted and wanted[1] in functions and choice != "none":
        name, arguments = wanted[1], json.loads(wanted[2])
    if name is not None:
        call = {"name": name, "arguments": arguments}
        state = str(uuid.uuid4())
        return {"content": "", "role": "assistant", "function_call": call, "functions_state_id": state}, "function_call"
    if (wanted_format := body.get("response_format")) and wanted_format["type"] == "json_schema":
        return {"content": json.dumps(sample(wanted_format["schema"]), indent=4), "role": "assistant"}, "stop"
    return {"content": f"You said: {said}", "role": "assistant"}, "stop"


def deltas(answer: dict[str, Any], *, usage: str) -> list[dict[str, Any]]:
    """A whole answer as the events of a stream, word by word."""
    choice = answer["choices"][0]
    message = choice["message"]
    words = [{"content": word} for word in re.findall(r"\S+\s*", message["content"])]
    pieces: list[dict[str, Any]] = [message] if "function_call" in message else words
    pieces[0] = {**pieces[0], "role": "assistant"}
    choices: list[dict[str, Any]] = [{"delta": piece, "index": 0} for piece in pieces]
    choices.append({"delta": {"content": ""}, "index": 0, "finish_reason": choice["finish_reason"]})
    events = [
        {"choices": [each], **{name: answer[name] for name in ("created", "model", "object")}} for each in choices
    ]
    for event in {"every": events, "last": events[-1:], "missing": []}[usage]:
        event["usage"] = answer["usage"]
    return events


def embed(body: dict[str, Any], models: dict[str, str]) -> dict[str, Any]:
    """Vectors that tell the length of each text."""
    if models.get(body.get("model", "")) != "embedder":
        raise Refused(404, "No such model")
    texts = [body["input"]] if isinstance(body["input"], str) else body["input"]
    if not texts or not all(isinstance(text, str) and text for text in texts):
        raise Refused(400, SYNTAX)
    if len(texts) > 100:
        raise Refused(413, "Payload too large")
    data = [
        {
            "object": "embedding",
            "index": index,
            "embedding": [float(len(text)), 0.5],
            "usage": {"prompt_tokens": len(text)},
        }
        for index, text in enumerate(texts)
    ]
    return {"object": "list", "model": body["model"], "data": data}


def sample(schema: Any) -> Any:
    """The value that the fake gives for a schema: always the same one."""
    match schema:
        case {"enum": [first, *_]}:
            return first
        case {"type": "object", "properties": dict() as properties}:
            return {name: sample(child) for name, child in properties.items()}
        case {"type": "array"}:
            return []
        case {"type": "integer"}:
            return 1
        case {"type": "number"}:
            return 1.5
        case {"type": "boolean"}:
            return True
        case _:
            return "text"
