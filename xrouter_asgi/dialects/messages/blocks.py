"""Turns of the Messages API, which are made of blocks, to messages of chat."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ...errors import UnsupportedOperation
from ...wire.codec import encode
from ...wire.messages import (
    AssistantTurn,
    Base64Source,
    ContentSource,
    CountTokensRequest,
    DocumentBlock,
    FileSource,
    ImageBlock,
    OtherBlock,
    SearchResultBlock,
    SystemTurn,
    TextBlock,
    TextSource,
    ThinkingBlock,
    ToolResultBlock,
    ToolUseBlock,
    URLSource,
    UserTurn,
)
from ..base import Objections, ignored

_NO_FILES = "Files that an upstream keeps cannot be named here: callers share its account. Send the file itself."

SIGNATURE = "xr1"
"""Signs the thinking that came through this gateway. Only what is signed comes back from some clients."""

# Claude Code begins its instructions with a line for Anthropic. It differs with each release, which would spoil caches.
_ATTRIBUTION = "x-anthropic-billing-header:"


def chat_messages(request: CountTokensRequest, warnings: list[str], account: Objections) -> list[dict[str, Any]]:
    """The conversation as messages of chat, at least one.

    Args:
        warnings: Gets a word for what is left out.
        account: Refuses files that an upstream keeps, with UnsupportedOperation.
    """
    messages = [*_system(request.system or "")]
    for turn in request.messages:
        match turn:
            case SystemTurn(content=content):
                messages += _system(content)
            case UserTurn(content=list(blocks)):
                messages += _user(blocks, warnings, account)
            case AssistantTurn(content=list(blocks)):
                messages += _assistant(blocks, warnings)
            case _:
                messages.append({"role": turn.role, "content": turn.content})
    return _with_one_beginning(messages) or [{"role": "user", "content": ""}]


def _system(content: str | Sequence[TextBlock]) -> Iterator[dict[str, Any]]:
    """One message, unless nothing is said."""
    if not isinstance(content, str):
        content = "\n\n".join(block.text for block in content if not block.text.startswith(_ATTRIBUTION))
    if content:
        yield {"role": "system", "content": content}


def _with_one_beginning(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Join the system messages in front: many chat templates take no second one."""
    leading = next((place for place, each in enumerate(messages) if each["role"] != "system"), len(messages))
    if leading < 2:
        return messages
    joined = "\n\n".join(message["content"] for message in messages[:leading])
    return [{"role": "system", "content": joined}, *messages[leading:]]


def _user(blocks: Sequence[Any], warnings: list[str], account: Objections) -> Iterator[dict[str, Any]]:
    """A message for each result, because a result has to follow its call; then one with everything else."""
    parts: list[dict[str, Any]] = []
    for block in blocks:
        if isinstance(block, ToolResultBlock):
            text, others = _result(block, warnings, account)
            yield {"role": "tool", "tool_call_id": block.tool_use_id, "content": text}
            parts += others
        else:
            parts += _parts(block, warnings, account)
    if len(parts) == 1 and parts[0]["type"] == "text":
        yield {"role": "user", "content": parts[0]["text"]}
    elif parts:
        yield {"role": "user", "content": parts}


def _result(block: ToolResultBlock, warnings: list[str], account: Objections) -> tuple[str, list[dict[str, Any]]]:
    """The text of a result; and its pictures and files, for which chat has no room in a result."""
    content = block.content or ""
    if isinstance(content, str):
        parts = [_text(content)]
    else:
        parts = [part for inner in content for part in _parts(inner, warnings, account)]
    text = "\n".join(part["text"] for part in parts if part["type"] == "text")
    if block.is_error and not text.lower().startswith("error"):
        text = f"Error: {text}"
    return text, [part for part in parts if part["type"] != "text"]


def _parts(block: Any, warnings: list[str], account: Objections) -> list[dict[str, Any]]:
    """A block that the client gives, as parts of a message of chat."""
    match block:
        case TextBlock(text=text):
            return [_text(text)]
        case ImageBlock(source=FileSource()) | DocumentBlock(source=FileSource()) | OtherBlock(type="container_upload"):
            account.refuse(UnsupportedOperation(_NO_FILES, param="messages"))
            return []
        case ImageBlock(source=Base64Source() | URLSource() as source):
            return [{"type": "image_url", "image_url": {"url": _url(source)}}]
        case DocumentBlock():
            return _document(block, warnings, account)
        case SearchResultBlock(title=title, source=source, content=content):
            return [_text("\n".join([title, source, *(inner.text for inner in content)]))]
    warnings.append(ignored(f"block_{block.type}"))
    return []


def _document(block: DocumentBlock, warnings: list[str], account: Objections) -> list[dict[str, Any]]:
    """A file, with its title for a name; or text, below its title."""
    about = [block.title, block.context]
    match block.source:
        case TextSource(data=text) | ContentSource(content=str(text)):
            parts = [_text(text)]
        case ContentSource(content=list(inner)):
            parts = [part for each in inner for part in _parts(each, warnings, account)]
        case Base64Source() | URLSource() as source:
            parts = [{"type": "file", "file": {"file_data": _url(source), "filename": block.title or "document.pdf"}}]
            about = [block.context]
    return [*(_text(text) for text in about if text), *parts]


def _url(source: Base64Source | URLSource) -> str:
    return source.url if isinstance(source, URLSource) else f"data:{source.media_type};base64,{source.data}"


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _assistant(blocks: Sequence[Any], warnings: list[str]) -> Iterator[dict[str, Any]]:
    """One message for the whole turn; none if it holds nothing that a provider can use."""
    texts, thoughts, calls = [], [], []
    for block in blocks:
        match block:
            case TextBlock(text=text):
                texts.append(text)
            case ThinkingBlock(thinking=text, signature=signature):
                if signature in (SIGNATURE, "", None):  # else it is sealed for somebody else
                    thoughts.append(text)
            case ToolUseBlock(id=call_id, name=name, input=arguments):
                function = {"name": name, "arguments": encode(arguments).decode()}
                calls.append({"id": call_id, "type": "function", "function": function})
            case OtherBlock(type=kind) if kind != "redacted_thinking":
                warnings.append(ignored(f"block_{kind}"))
    message: dict[str, Any] = {"role": "assistant", "content": "".join(texts) or (None if calls else "")}
    if thoughts:
        message["reasoning_content"] = "".join(thoughts)
    if calls:
        message["tool_calls"] = calls
    if texts or thoughts or calls:
        yield message
