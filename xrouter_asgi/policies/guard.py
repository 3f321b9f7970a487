"""Guard: a function of yours sees every text before it goes on. It lets it pass, replaces it, or refuses it."""

from __future__ import annotations

import copy
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, TypeAlias

from ..context import RequestContext
from ..errors import UnsupportedOperation, UpstreamError
from ..providers.base import Call, Provider, Reply
from ..providers.target import Wrapper
from ..wire import ChatChunk, ChatCompletion, EmbeddingsRequest
from ..wire.reading import by_size
from ..wire.stream import ChatStream

_Path: TypeAlias = tuple[str | int, ...]
_Place: TypeAlias = tuple[str | int, ...]

MAX_HELD: Final = 32 << 20
"""Characters of a stream that is held until its end."""

_NO_TEXT: Final = frozenset({"role", "type", "id", "tool_call_id", "url", "file_id", "file_data", "data", "name"})
_SEALED: Final = frozenset({"signature", "encrypted_content", "encrypted_index", "media_type", "image_url", "model"})
_SAID: Final = ("content", "reasoning_content", "refusal")


@dataclass(frozen=True, slots=True)
class Passage:
    """One text of a request or of an answer.

    Attributes:
        of: Which of the two.
        role: Who says it: the role of its message, `tools` for what describes them, `input` for embeddings; `written`
            for what stands in the client's own words alone, such as the results of tools that an upstream runs.
        context: The request that it belongs to, with its principal and model.
    """

    text: str
    of: Literal["request", "answer"]
    role: str
    context: RequestContext


Check: TypeAlias = Callable[[Sequence[Passage]], Awaitable[Sequence[str]]]
"""Gives one text for each passage: its own to let it pass, another one to replace it. To refuse them all it raises
ContentRefused, whose message is for the client."""


class Guard(Wrapper):
    """Show every text of a request, and if asked for, of its answer, to a function that may replace or refuse it.

    It stands where all dialects have become one form, so no other door leads past it. Of a request it sees the texts of
    all messages, arguments and results of tools included, and what describes the tools; of an answer the text, the
    reasoning, the refusal and the arguments of calls. Pictures, recordings and files are not texts: it does not see
    them. Embeddings of tokens are refused, because nobody could read them.

    An upstream that speaks the client's dialect is sent what the client wrote only if all texts of that passed, too; if
    one of them is replaced, it is sent the translation. With `answers` its answer reaches the client in translation.

    Args:
        inner: The provider.
        check: Called once for a request, and once for its answer. Any other error than an `XRouterError` is a 500, and
            nothing goes on.
        answers: Whether answers are shown, too. Then a stream is held until its end, 32 Mi characters at most, and the
            client waits.

    Place it outside of all other policies, so that what it has seen is what every upstream is asked.
    """

    def __init__(self, inner: Provider, *, check: Check, answers: bool = False) -> None:
        super().__init__(inner)
        self._check = check
        self._answers = answers

    async def send(self, call: Call, /) -> Reply:
        """Answer the call.

        Raises:
            ContentRefused: From the check.
            UnsupportedOperation: The request holds tokens in place of texts.
        """
        reply = await self.inner.send(await self._checked(call))
        if not self._answers:
            return reply
        match reply.body:
            case ChatStream() as stream:
                return replace(reply, body=await self._held(stream, call.context))
            case ChatCompletion() as answer:
                found = await by_size(answer.size, lambda: [*_said_in(answer.value, "message")])
                texts = await self._ask([Passage(text, "answer", "assistant", call.context) for _, text in found])
                if (value := _with(answer.value, found, texts)) is not answer.value or answer.native is not None:
                    reply.body = ChatCompletion(value)
        return reply

    async def _checked(self, call: Call) -> Call:
        """The call as it may go on: the same if nothing was replaced."""
        value = call.document.value
        spots = await by_size(call.document.size, _spots_of, call)
        written = await by_size(call.document.size, _written_besides, call, {text for _, _, text in spots})
        passages = [Passage(text, "request", role, call.context) for _, role, text in spots]
        passages += [Passage(text, "request", "written", call.context) for text in written]
        texts = await self._ask(passages)
        changed = _with(value, [(path, text) for path, _, text in spots], texts[: len(spots)])
        if changed is value and [*texts[len(spots) :]] == written:
            return call
        return await by_size(call.document.size, call.asking, changed)

    async def _ask(self, passages: Sequence[Passage]) -> Sequence[str]:
        texts = await self._check(passages) if passages else ()
        if len(texts) != len(passages) or not all(isinstance(text, str) for text in texts):
            raise TypeError(
                f"The check of a Guard gave {len(texts)} texts for {len(passages)} passages. Give one each."
            )
        return texts

    async def _held(self, stream: ChatStream, context: RequestContext) -> ChatStream:
        """The whole stream as it may go on."""
        batches: list[Sequence[ChatChunk]] = []
        try:
            async for batch in stream:
                batches.append([ChatChunk(chunk.value) if chunk.native is not None else chunk for chunk in batch])
                if stream.characters > MAX_HELD:
                    raise UpstreamError("The answer is longer than can be checked.", code="too_large")
            said = await by_size(stream.characters, _Said, batches)
            texts = await self._ask([Passage(text, "answer", "assistant", context) for text in said.texts()])
        finally:
            await stream.aclose()
        return await ChatStream.replay(await by_size(stream.characters, said.saying, texts))


class _Said:
    """What a stream says in all: each text, by the choice and the place in it."""

    def __init__(self, batches: Sequence[Sequence[ChatChunk]]) -> None:
        self._batches = batches
        self._pieces: dict[_Place, list[str]] = {}
        for batch in batches:
            for chunk in batch:
                for path, text in _said_in(chunk.value, "delta"):
                    self._pieces.setdefault(_place(chunk.value, path), []).append(text)

    def texts(self) -> list[str]:
        return ["".join(pieces) for pieces in self._pieces.values()]

    def saying(self, texts: Sequence[str]) -> Sequence[Sequence[ChatChunk]]:
        """The batches with these texts in place of the old ones, each where it begins."""
        pairs = zip(self._pieces.items(), texts, strict=True)
        new = {place: text for (place, pieces), text in pairs if text != "".join(pieces)}
        if not new:
            return self._batches
        return [[_rewritten(chunk, new) for chunk in batch] for batch in self._batches]


def _rewritten(chunk: ChatChunk, new: dict[_Place, str]) -> ChatChunk:
    """The chunk with what is left to say in the places that it speaks of; nothing is left after the first time."""
    value = chunk.value
    found = [(path, text) for path, text in _said_in(value, "delta") if _place(value, path) in new]
    texts = []
    for path, _ in found:
        place = _place(value, path)
        texts.append(new[place])
        new[place] = ""
    return ChatChunk(_with(value, found, texts)) if found else chunk


def _place(value: dict[str, Any], path: _Path) -> _Place:
    """Which text of the whole answer a piece belongs to: numbers of choices and calls are those that are written."""
    _, at, _, *rest = path
    choice = value["choices"][at]
    if rest[0] == "tool_calls":
        call = choice["delta"]["tool_calls"][rest[1]]
        return (choice.get("index", 0), "tool_calls", call.get("index", rest[1]))
    return (choice.get("index", 0), *rest)


def _said_in(answer: dict[str, Any], member: Literal["message", "delta"]) -> Iterator[tuple[_Path, str]]:
    """What an answer, or a piece of one, says, and where."""
    for at, choice in enumerate(answer.get("choices") or ()):
        said = choice.get(member) or {}
        for name in _SAID:
            if isinstance(text := said.get(name), str) and text:
                yield ("choices", at, member, name), text
        for number, call in enumerate(said.get("tool_calls") or ()):
            function = call.get("function") or {}
            if isinstance(text := function.get("arguments"), str) and text:
                yield ("choices", at, member, "tool_calls", number, "function", "arguments"), text


def _spots_of(call: Call) -> list[tuple[_Path, str, str]]:
    """The texts of a request: where each stands, who says it, and the text."""
    value = call.document.value
    if isinstance(call.request, EmbeddingsRequest):
        return [(path, "input", text) for path, text in _texts(value["input"], ("input",), _no_tokens)]
    spots = [
        (path, message.get("role", ""), text)
        for at, message in enumerate(value["messages"])
        for path, text in _texts(message, ("messages", at), _is_text)
    ]
    for member in ("tools", "functions", "response_format", "prediction"):
        spots += [(path, "tools", text) for path, text in _texts(value.get(member), (member,), _describes)]
    return spots


def _written_besides(call: Call, seen: Collection[str]) -> list[str]:
    """The texts that an upstream would be sent in the client's own words, and that are not among those seen."""
    if call.original is None:
        return []
    written = (call.original.owned or call.original).forwarded.value
    return [text for _, text in _texts(written, (), _is_written) if text not in seen]


def _texts(value: object, path: _Path, wanted: Callable[[_Path, object], bool]) -> Iterator[tuple[_Path, str]]:
    """Every string in a value that is wanted, and where."""
    rest: list[tuple[_Path, object]] = [(path, value)]
    while rest:
        path, value = rest.pop()
        if isinstance(value, dict):
            rest += [((*path, name), each) for name, each in reversed(value.items())]
        elif isinstance(value, list):
            rest += [((*path, at), each) for at, each in reversed([*enumerate(value)])]
        elif wanted(path, value) and isinstance(value, str) and value:
            yield path, value


def _is_text(path: _Path, value: object) -> bool:
    return path[-1] not in _NO_TEXT


def _is_written(path: _Path, value: object) -> bool:
    return path[-1] not in _NO_TEXT and path[-1] not in _SEALED


def _describes(path: _Path, value: object) -> bool:
    return path[-1] in ("description", "content", "text")


def _no_tokens(path: _Path, value: object) -> bool:
    if isinstance(value, str):
        return True
    raise UnsupportedOperation(
        "This model takes texts only, because they are looked at. Send no tokens.", param="input"
    )


def _with(value: dict[str, Any], found: Sequence[tuple[_Path, str]], texts: Sequence[str]) -> dict[str, Any]:
    """The value with other texts at these places; the value itself if they are the same."""
    changes = [(path, new) for (path, old), new in zip(found, texts, strict=True) if new != old]
    if not changes:
        return value
    changed = copy.deepcopy(value)
    for path, text in changes:
        inner: Any = changed
        for step in path[:-1]:
            inner = inner[step]
        inner[path[-1]] = text
    return changed
