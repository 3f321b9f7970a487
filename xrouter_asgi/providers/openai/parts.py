"""Text that an upstream says in parts."""

from __future__ import annotations

from typing import Any

CONTENT = (str, list, type(None))
"""What `content` may be."""

_REASONING = "reasoning_content"


def mend_content(said: dict[str, Any]) -> bool:
    """Let a message or a delta say its text, and its reasoning, as texts. Returns whether that changed anything.

    Models of Mistral that reason say both as parts of `content`. A list with other parts, such as pictures, stays.
    """
    content = said.get("content")
    if not isinstance(content, list):
        return False
    texts, thoughts = [], []
    for part in content:
        match part:
            case {"type": "text" | "output_text", "text": str(text)}:
                texts.append(text)
            case {"type": "thinking" | "reasoning", "thinking": list(thinking)}:
                thoughts += [each["text"] for each in thinking if isinstance(each, dict) and "text" in each]
            case {"type": "thinking" | "reasoning", "thinking": str(text)}:
                thoughts.append(text)
            case _:
                return False
    said["content"] = "".join(texts) if texts or not thoughts else None
    if thoughts and said.get(_REASONING) is None:
        said[_REASONING] = "".join(thoughts)
    return True
