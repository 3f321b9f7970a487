"""A conversation of chat -> turns of the Messages API.

The API answers 400 unless these hold, so the translation makes them hold:

- instructions stand apart; turns of the user and of the assistant alternate, and the user begins;
- no text is blank;
- every call has an id of its own, and the next turn begins with the results of all calls of the turn before it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ...wire.chat_messages import AssistantMessage, FunctionMessage, Message, SystemMessage, ToolMessage, UserMessage
from ...wire.codec import decode
from .blocks import Block, blocks_of, joined_text, text_block, texts_of
from .diagnostics import unsupported, unsupported_value
from .names import Aliases, CallIds
from .options import AnthropicOptions
from .thinking import thinking_blocks

_NOTHING_SAID = "(no text)"


@dataclass(slots=True, eq=False)
class _MessagesTurn:
    role: str
    blocks: list[Block] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)  # the upstream's ids
    results: dict[str, list[Block]] = field(default_factory=dict)  # id of a call in this turn -> what came of it


class Turns:
    """Translates the messages of one request; adds to `warnings` what is changed or left out.

    Attributes:
        system: The instructions, as blocks.
        called: The upstream's names of all tools that were called.
        loop_without_thinking: Whether the last turn of the assistant called tools, and does not begin with thinking.
    """

    def __init__(self, messages: Sequence[Message], options: AnthropicOptions, warnings: list[str]) -> None:
        self._messages = messages
        self._late_system = options.late_system
        self._warnings = warnings
        self._ids = CallIds()
        self._turns: list[_MessagesTurn] = []
        self._waiting: dict[
            str, deque[tuple[_MessagesTurn, str]]
        ] = {}  # the client's id -> calls that have no result yet
        self.system: list[Block] = []
        self.called: dict[str, None] = {}
        self.loop_without_thinking = False

    def read(self) -> list[dict[str, Any]]:
        """The turns, at least one.

        Raises:
            InvalidRequest: See `blocks_of`.
            UnsupportedOperation: Likewise, and for calls that are no functions'.
        """
        for index, message in enumerate(self._messages):
            param = f"messages[{index}]"
            match message:
                case SystemMessage():
                    self._instruct(message, param)
                case UserMessage():
                    self._open("user").blocks += blocks_of(message.content, f"{param}.content")
                    if (message.model_extra or {}).get("name") is not None:
                        self._warnings.append("name_ignored")
                case AssistantMessage():
                    self._answer(message, param)
                case ToolMessage():
                    self._result(message, param)
                case FunctionMessage():
                    raise unsupported_value(f"{param}.role", "the Messages API has tools, not functions. Use 'tool'")
        return [self._written(turn) for turn in self._complete()]

    def _open(self, role: str) -> _MessagesTurn:
        """The turn under way, if it is of that role, else a new one."""
        if not self._turns or self._turns[-1].role != role:
            self._turns.append(_MessagesTurn(role))
        return self._turns[-1]

    def _instruct(self, message: SystemMessage, param: str) -> None:
        blocks = texts_of(message.content, f"{param}.content")
        if not self._turns:
            self.system += blocks
        elif self._late_system == "system":
            if blocks:
                self._open("system").blocks += blocks
        else:
            marked = [{**block, "text": f"[system] {block['text']}"} for block in blocks[:1]]
            self._open("user").blocks += [*marked, *blocks[1:]]

    def _answer(self, message: AssistantMessage, param: str) -> None:
        """A turn, unless there is nothing in it."""
        if message.function_call is not None:
            raise unsupported(f"{param}.function_call", "The Messages API has tools, not functions. Use 'tool_calls'.")
        extra = message.model_extra or {}
        thoughts = thinking_blocks(extra, self._warnings)
        texts = texts_of(message.content, f"{param}.content")
        if isinstance(refusal := extra.get("refusal"), str):
            texts += text_block(refusal)
        if extra.get("audio") is not None:
            self._warnings.append("audio_ignored")
        calls = message.tool_calls or ()
        if not texts and not calls:
            if thoughts:
                self._warnings.append("thinking_blocks_ignored")  # the API takes none alone
            return
        turn = self._open("assistant")
        turn.blocks += thoughts + texts
        self._waiting.update({call.id: deque() for call in calls})  # an id means the last call that has it
        for place, call in enumerate(calls):
            if call.function is None:
                reason = f"the Messages API does not know calls of type '{call.type[:64]}'"
                raise unsupported_value(f"{param}.tool_calls[{place}].type", reason)
            call_id, name = self._ids.next(call.id), Aliases.to_upstream(call.function.name)
            self.called[name] = None
            self._waiting[call.id].append((turn, call_id))
            turn.calls.append(call_id)
            used = {"type": "tool_use", "id": call_id, "name": name, "input": self._input(call.function.arguments)}
            turn.blocks.append(used)

    def _input(self, arguments: str) -> dict[str, Any]:
        """The arguments as an object. What is no object stands in its member `value`."""
        if not arguments.strip():
            return {}
        try:
            value = decode(arguments.encode())
        except ValueError:
            value = arguments
        if isinstance(value, dict):
            return value
        self._warnings.append("tool_arguments_wrapped")
        return {"value": value}

    def _result(self, message: ToolMessage, param: str) -> None:
        """What came of a call. The user says what belongs to none."""
        blocks = blocks_of(message.content, f"{param}.content")
        if places := self._waiting.get(message.tool_call_id):
            turn, call_id = places.popleft()
            turn.results[call_id] = blocks
            if turn is self._turns[-1]:
                self._open("user")
            return
        self._warnings.append("tool_call_missing")
        others = [block for block in blocks if block["type"] != "text"]
        said = text_block(f"[tool result] {joined_text(message.content)}")
        self._open("user").blocks += [*said, *others]

    def _complete(self) -> list[_MessagesTurn]:
        """The turns in their order, each turn of calls followed by their results, and with somebody who begins."""
        turns: list[_MessagesTurn] = []
        for turn in [*self._turns, _MessagesTurn("end")]:
            if turns and turns[-1].calls:
                results = self._results_of(turns[-1])
                if turn.role == "user":
                    turn.blocks[:0] = results
                else:
                    turns.append(_MessagesTurn("user", results))
            turns.append(turn)
        turns.pop()
        if not turns or turns[0].role != "user":
            turns.insert(0, _MessagesTurn("user"))
        self._end(turns)
        for turn in turns:
            if not turn.blocks:
                turn.blocks += text_block(_NOTHING_SAID)
                self._warnings.append("empty_message_filled")
        return turns

    def _results_of(self, turn: _MessagesTurn) -> list[Block]:
        results: list[Block] = []
        for call_id in turn.calls:
            result: Block = {"type": "tool_result", "tool_use_id": call_id}
            if call_id not in turn.results:
                self._warnings.append("tool_result_missing")
                result |= {"content": "No result.", "is_error": True}
            elif blocks := turn.results[call_id]:
                result["content"] = _plain(blocks)
            results.append(result)
        return results

    def _end(self, turns: Sequence[_MessagesTurn]) -> None:
        """Look at the last answer: one that is to be continued must not end with a space."""
        last = turns[-1]
        if last.role == "assistant":
            last.blocks[-1]["text"] = last.blocks[-1]["text"].rstrip()
        elif len(turns) > 1 and turns[-2].calls:
            self.loop_without_thinking = "thinking" not in turns[-2].blocks[0]["type"]

    def _written(self, turn: _MessagesTurn) -> dict[str, Any]:
        return {"role": turn.role, "content": _plain(turn.blocks)}


def _plain(blocks: list[Block]) -> str | list[Block]:
    """One text alone as a string."""
    if len(blocks) == 1 and blocks[0].keys() == {"type", "text"}:
        text: str = blocks[0]["text"]
        return text
    return blocks
