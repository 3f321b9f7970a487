"""What clients are promised, made good where an upstream left it out: in events, in whole answers, and in whole answers
that become a stream.

Everything here mends in place and returns whether that changed anything, so that what is good keeps its bytes. No I/O.
"""

from __future__ import annotations

import os
import re
import time
from copy import deepcopy
from typing import Any, Literal, TypeGuard

from ...context import Usage
from ...decision import LARGEST_COUNT
from ...wire.codec import SMALL, encode
from .parts import mend_content

CALL_TYPES = ("function", "custom")

_NULL_USAGE = re.compile(rb',\s*"usage"\s*:\s*null|"usage"\s*:\s*null\s*,?')
_MEMBERS = 3  # that chunks have in common, beside `object`
_COUNTS = 3  # members of a usage that tells no details
_DETAILS = ("prompt_tokens_details", "completion_tokens_details")
_LATEST = 1e12  # of `created`: what is beyond counts no seconds


class AnswerHead:
    """The members around the choices: `id`, `object`, `created`, `model`. All chunks of an answer say the same.

    What one chunk lacks is taken from an earlier one, and made up if none had it.

    Args:
        kind: What `object` says.
        model: Which model was asked for.
    """

    __slots__ = ("_kind", "_known", "_model")

    def __init__(self, kind: str, model: str) -> None:
        self._kind = kind
        self._model = model
        self._known: dict[str, Any] = {}

    def mend(self, value: dict[str, Any]) -> bool:
        good = has_head(value, self._kind)
        if good and len(self._known) == _MEMBERS:
            return False
        told = self.learn(value)
        if good:
            return False
        value["object"] = self._kind
        for name, member in told.items():
            value[name] = self._missing(name) if member is None else member
        return True

    def learn(self, value: dict[str, Any]) -> dict[str, Any]:
        """Note for other chunks what this one says. Returns what it says and how it should; None for what it lacks."""
        told = {
            "id": as_text(value.get("id")),
            "created": _seconds(value.get("created")),
            "model": as_text(value.get("model")),
        }
        for name, member in told.items():
            if member is not None:
                self._known.setdefault(name, member)
        return told

    def _missing(self, name: str) -> Any:
        if name not in self._known:
            made = {"id": f"chatcmpl-{os.urandom(12).hex()}", "created": int(time.time()), "model": self._model}
            self._known[name] = made[name]
        return self._known[name]


def has_head(value: dict[str, Any], kind: str) -> bool:
    """Whether nothing is to be mended around the choices."""
    name, model = value.get("id"), value.get("model")
    return (
        value.get("object") == kind
        and type(value.get("created")) is int
        and type(name) is str
        and name != ""
        and type(model) is str
        and model != ""
    )


def mend_completion(value: dict[str, Any], *, model: str) -> bool:
    """Mend a whole answer whose shape is checked.

    Args:
        model: Which model was asked for.
    """
    mended = AnswerHead("chat.completion", model).mend(value)
    mended |= mend_usage(value)
    choices = value["choices"]
    indexes = [choice.get("index") for choice in choices]
    if any(type(index) is not int for index in indexes) or sorted(indexes) != [*range(len(choices))]:
        for place, choice in enumerate(choices):
            choice["index"] = place
        mended = True
    for choice in choices:
        mended |= _mend_message(choice["message"])
        if not choice.get("finish_reason"):
            # What is whole has ended, even if it does not say how.
            choice["finish_reason"] = how_it_ended(choice["message"])
            mended = True
    return mended


def take_text(choice: dict[str, Any], member: Literal["message", "delta"]) -> bool:
    """Let a choice of a legacy completion say its text as one of a chat does."""
    if choice.get(member) is not None or not isinstance(choice.get("text"), str):
        return False
    choice[member] = {"content": choice.pop("text")}
    return True


def mend_usage(value: dict[str, Any]) -> bool:
    """Let an answer or a chunk tell its usage where clients look for it, in the members that they read.

    Some upstreams tell it in a choice (Moonshot) or in `x_groq`, with other names, or as numbers of another kind. Of
    several, the largest counts.
    """
    top = value.get("usage")
    groq = value.get("x_groq")
    told = [choice["usage"] for choice in value["choices"] if "usage" in choice]
    if top is None and groq is None and not told:
        return False
    told = [top, groq.get("usage") if isinstance(groq, dict) else None, *told]
    counted = [(usage, one) for one in told if one and (usage := Usage.read(one)) is not None]
    if not counted:
        return top is not None and not _tells_something(top) and value.pop("usage") is not None
    usage, best = max(counted, key=lambda each: each[0].total_tokens)
    if isinstance(top, dict) and best is top and is_well_told(top):
        return False
    prompt, completion, *_ = usage
    counts = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": usage.total_tokens}
    value["usage"] = {**best, **counts, **_bad_details(best)}
    return True


def _tells_something(usage: object) -> bool:
    """Whether an unreadable usage may be passed on: it tells no count, but another thing such as a price."""
    return isinstance(usage, dict) and not any(name in usage for name in ("prompt_tokens", "completion_tokens"))


def is_well_told(usage: dict[str, Any]) -> bool:
    """Whether nothing is to be mended in a usage."""
    prompt, completion, total = usage.get("prompt_tokens"), usage.get("completion_tokens"), usage.get("total_tokens")
    return (
        (type(prompt) is int and 0 <= prompt <= LARGEST_COUNT)
        and (type(completion) is int and 0 <= completion <= LARGEST_COUNT)
        and (type(total) is int and 0 <= total <= LARGEST_COUNT)
        and (len(usage) == _COUNTS or not _bad_details(usage))
    )


def _bad_details(usage: dict[str, Any]) -> dict[str, None]:
    """The details that are no object, each as null: clients look into them."""
    return {name: None for name in _DETAILS if usage.get(name) is not None and not isinstance(usage[name], dict)}


def without_null_usage(data: bytes) -> bytes | None:
    """The text without its member `usage: null`, or None if one of several cannot be told apart."""
    if data.count(b'"usage"') == 1 and (compact := data.replace(b',"usage":null', b"")) != data:
        return compact  # as nearly all write it, for half the price
    if len(data) > SMALL:
        return None  # a search by the pattern takes longer than to encode it anew
    shorter, count = _NULL_USAGE.subn(b"", data)
    return shorter if count == 1 else None


def all_objects(values: object) -> TypeGuard[list[dict[str, Any]]]:
    """Whether it is a list of objects."""
    return isinstance(values, list) and all(isinstance(value, dict) for value in values)


def mend_role(said: dict[str, Any]) -> bool:
    """Let a message or a delta say that the assistant speaks."""
    if said.get("role") == "assistant":
        return False
    said["role"] = "assistant"
    return True


def as_text(value: object) -> str | None:
    """An id or a name: a text, or an integer as text. None for anything else, and for an empty text."""
    if type(value) is int:
        return str(value)
    return value if isinstance(value, str) and value else None


def argument_text(arguments: object, *, missing: str) -> str:
    """The arguments of a call as text: JSON that came as a value is written, compactly.

    Args:
        missing: What stands for null.
    """
    if arguments is None:
        return missing
    return arguments if isinstance(arguments, str) else encode(arguments).decode()


def with_argument_texts(message: dict[str, Any]) -> dict[str, Any]:
    """A message of a history; a copy if it calls something with arguments that are no text, which many refuse."""
    calls, function = message.get("tool_calls") or (), message.get("function_call")
    called = [call["function"] for call in calls if call.get("function")] + ([function] if function else [])
    if all(isinstance(each.get("arguments"), str) for each in called):
        return message
    copied = deepcopy(message)
    for call in copied.get("tool_calls") or ():
        _mend_arguments(call.get("function"))
    _mend_arguments(copied.get("function_call"))
    return copied


def new_call_id() -> str:
    return f"call_{os.urandom(12).hex()}"


def call_type(call: dict[str, Any]) -> str:
    """The type of a call that says none of `CALL_TYPES`."""
    return "custom" if call.get("custom") and not call.get("function") else "function"


def how_it_ended(message: dict[str, Any]) -> str:
    """The `finish_reason` of a whole message that came without one."""
    return next((name for name in ("tool_calls", "function_call") if message.get(name)), "stop")


def _mend_message(message: dict[str, Any]) -> bool:
    mended = mend_role(message) | mend_content(message)
    if "content" not in message:
        message["content"] = None
        mended = True
    if not message.get("tool_calls", True) and message["tool_calls"] not in (None, []):
        del message["tool_calls"]
        mended = True
    ids: set[str] = set()
    for call in message.get("tool_calls") or ():
        mended |= _mend_call(call, ids)
    return _mend_arguments(message.get("function_call")) or mended


def _mend_call(call: dict[str, Any], ids: set[str]) -> bool:
    """Give a call an id of its own, a type, and arguments that are a text.

    Args:
        ids: Those of the calls before it; this one is added.
    """
    mended = False
    call_id = as_text(call.get("id"))
    if call_id is None or call_id in ids:
        call_id = new_call_id()
    ids.add(call_id)
    if call.get("id") != call_id:
        call["id"] = call_id
        mended = True
    if call.get("type") not in CALL_TYPES:
        call["type"] = call_type(call)
        mended = True
    return _mend_arguments(call.get("function")) or mended


def _mend_arguments(function: object) -> bool:
    if not isinstance(function, dict):
        return False
    arguments = function.get("arguments")
    if isinstance(arguments, str) and arguments.strip():
        return False
    # A blank text is no JSON: LangChain and `runTools` of openai-node refuse the call.
    function["arguments"] = "{}" if isinstance(arguments, str) else argument_text(arguments, missing="{}")
    return True


def _seconds(value: object) -> int | None:
    """A moment in whole seconds: an integer, or a number or a text that means one."""
    if type(value) is int:
        return value
    if isinstance(value, str) and value.isdecimal() and len(value) <= 12:
        return int(value)
    return int(value) if isinstance(value, float) and 0 <= value < _LATEST else None
