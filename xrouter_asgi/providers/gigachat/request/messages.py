"""A conversation in OpenAI's dialect -> GigaChat's messages.

GigaChat answers 422 unless these hold, so the translation makes them hold:

- there is at most one system message, and it comes first;
- a message is one text, and a user message has one attachment;
- a call stands alone in its message and is followed by its result, which is a JSON document.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from ....wire.chat_messages import AssistantMessage, FunctionMessage, Message, SystemMessage, ToolMessage, UserMessage
from ....wire.codec import decode, encode
from ..compatibility import Repairs
from ..options import GigaChatOptions
from .attachments import Content, attached, text_of
from .diagnostics import Warnings
from .functions import FunctionNames
from .tool_calls import PastCall, Position, calls_of, parsed_arguments, results_of, state_of

GigaChatMessage: TypeAlias = dict[str, Any]

_NO_RESULT = '{"error":"no result"}'
_EMPTY: dict[str, dict[str, Any]] = {"empty": {"content": ""}, "null": {"content": None}, "omit": {}}


@dataclass(slots=True)
class Conversation:
    """Translates the messages of one request. `names` must know all functions that were called."""

    messages: Sequence[Message]
    plan: Repairs
    names: FunctionNames
    options: GigaChatOptions
    files: Mapping[str, str]
    warnings: Warnings
    results: Mapping[Position, int] = field(init=False)

    def __post_init__(self) -> None:
        self.results = results_of(self.messages)

    def translated(self, instructions: Sequence[str] = ()) -> list[GigaChatMessage]:
        """All messages. `instructions` end the system message."""
        system: list[str] = []
        dialogue: list[GigaChatMessage] = []
        placed = set(self.results.values())
        for index, message in enumerate(self.messages):
            match message:
                case SystemMessage():
                    text = text_of(message.content)
                    if dialogue and self.options.late_system == "user":
                        dialogue.append(_user(f"[system] {text}"))
                    else:
                        system.append(text)
                case UserMessage():
                    dialogue += self._said(text_of(message.content), self._files_of(message.content, index))
                case AssistantMessage():
                    dialogue += self._assistant(message, index)
                case _ if index not in placed:
                    dialogue += self._orphan(message, index)
        if dialogue and dialogue[-1]["role"] == "assistant":
            reason = "GigaChat does not continue an assistant message"
            self.warnings.add("prefill_unsupported", param=f"messages[{len(self.messages) - 1}]", reason=reason)
        text = "\n\n".join(part for part in [*system, *instructions] if part)
        return [{"role": "system", "content": text}, *dialogue] if text else dialogue

    def _assistant(self, message: AssistantMessage, index: int) -> list[GigaChatMessage]:
        """The text, or each call followed by its result. The text goes with the first call."""
        text = text_of(message.content)
        refusal = (message.model_extra or {}).get("refusal")
        if not text and isinstance(refusal, str):
            text = refusal
        calls = calls_of(message, index)
        if not calls:
            return [{"role": "assistant", "content": text}]
        translated: list[GigaChatMessage] = []
        pictures: list[GigaChatMessage] = []
        for position, call in enumerate(calls):
            result = self.results.get((index, position))
            content = None if result is None else self.messages[result].content
            translated.append(self._call(call, text if position == 0 else ""))
            translated.append(self._result(call, content, missing=result is None))
            # A result is text alone: the user shows what else it holds.
            if result is not None and (files := self._files_of(content, result)):
                pictures += self._said("", files)
        return translated + pictures

    def _call(self, call: PastCall, text: str) -> GigaChatMessage:
        if self.plan.plain_calls:
            said = f"[tool call] {call.name} {call.arguments}"
            return {"role": "assistant", "content": f"{text}\n{said}" if text else said}
        arguments, wrapped = parsed_arguments(call.arguments)
        if wrapped:
            reason = "the arguments are not a JSON object, which is all that GigaChat takes"
            self.warnings.add("tool_arguments_wrapped", param=call.param, reason=reason)
        content = {"content": text} if text else _EMPTY[self.options.empty_content]
        called = {"name": self.names.to_gigachat(call.name), "arguments": arguments}
        message = {"role": "assistant", **content, "function_call": called}
        if self.plan.replay_state and call.id is not None and (state := state_of(call.id)) is not None:
            message["functions_state_id"] = state
        return message

    def _result(self, call: PastCall, content: Content, *, missing: bool) -> GigaChatMessage:
        if missing:
            reason = "the conversation holds no result of this call"
            self.warnings.add("tool_result_missing", param=call.param, reason=reason)
        document = _NO_RESULT if missing else _as_document(content)
        if self.plan.plain_calls:
            return _user(f"[tool result] {call.name}: {document}")
        return {"role": "function", "name": self.names.to_gigachat(call.name), "content": document}

    def _orphan(self, message: ToolMessage | FunctionMessage, index: int) -> list[GigaChatMessage]:
        """A result without a call, which GigaChat refuses: the user says it."""
        reason = "the conversation holds no call that this is the result of"
        self.warnings.add("tool_call_missing", param=f"messages[{index}]", reason=reason)
        return self._said(f"[tool result] {text_of(message.content)}", self._files_of(message.content, index))

    def _files_of(self, content: Content, index: int) -> list[str]:
        return [item.file_id or self.files[item.param] for item in attached(content, index)]

    def _said(self, text: str, files: Sequence[str]) -> list[GigaChatMessage]:
        """User messages with one attachment each. The text goes with the last."""
        if not files:
            # What GigaChat does with an empty text is not specified.
            return [_user(text or " ")]
        placeholder = self.options.attachment_text
        texts = [placeholder] * (len(files) - 1) + [text or placeholder]
        return [{**_user(text), "attachments": [file]} for text, file in zip(texts, files, strict=True)]


def _user(text: str) -> GigaChatMessage:
    return {"role": "user", "content": text}


def _as_document(content: Content) -> str:
    """A result as one JSON object, which is all that GigaChat takes. The text of an object stays as it is."""
    text = "null" if content is None else text_of(content)
    try:
        value = decode(text.encode())
    except ValueError:
        return encode({"result": text}).decode()
    if value is None:
        return "{}"
    return text if isinstance(value, dict) else f'{{"result":{text}}}'
