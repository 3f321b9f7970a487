"""The words of an upstream's error, made fit for a client: no HTML, no address, no secret, no control characters."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from ....wire.codec import decode
from ...http import Redaction

MAX_MESSAGE = 1024  # bytes of UTF-8

_READ = 16 * 1024  # characters in which a title is looked for
_PAGE = re.compile(r"\s*<(!doctype|html|head|body|center|h1|title)\b", re.IGNORECASE)
_TITLE = re.compile(r"<(title|h1)[^>]*>\s*([^<]{1,200}?)\s*<", re.IGNORECASE)
_TAG = re.compile(r"</?[a-zA-Z][^<>]{0,200}>")
_SPACE = re.compile(r" {2,}")


@dataclass(frozen=True, slots=True)
class Words:
    """What an error says.

    Attributes:
        text: Fit for a client; empty when there were no words, or only a page of HTML.
        page: The title of a page of HTML, for the log.
        is_page: The body was HTML.
    """

    text: str
    page: str = ""
    is_page: bool = False

    @classmethod
    def of(cls, body: bytes, redact: Redaction) -> Words:
        """The words of a body: JSON, HTML or plain text."""
        try:
            value = decode(body)
        except ValueError:
            return cls._of_text(body.decode("utf-8", "replace"), redact)
        return cls.of_document(value, redact) if isinstance(value, dict) else cls("")

    @classmethod
    def of_document(cls, document: dict[str, Any], redact: Redaction) -> Words:
        """The words of `message`, or of `error` as text or as an object with a `message`."""
        error = document.get("error")
        inner = error.get("message") if isinstance(error, dict) else error
        said = next((text for text in (document.get("message"), inner) if isinstance(text, str)), "")
        return cls._of_text(said, redact)

    @classmethod
    def _of_text(cls, text: str, redact: Redaction) -> Words:
        if _PAGE.match(text):
            title = _TITLE.search(text[:_READ])
            return cls("", page=_clean(title[2], redact) if title else "", is_page=True)
        return cls(_clean(text, redact))

    def sentence(self, otherwise: str) -> str:
        """The message for a client, at most `MAX_MESSAGE` bytes less a little room for a hint."""
        text = self.text or otherwise
        room = MAX_MESSAGE - 384
        text = f"GigaChat: {text}".encode()[:room].decode("utf-8", "ignore")
        return text if text.endswith((".", "!", "?")) else f"{text}."

    def detail(self, status: int) -> str:
        """The line for the log."""
        said = f"a page titled '{self.page}'" if self.is_page else f"'{self.text[:200]}'" if self.text else "no words"
        return f"GigaChat answered {status} with {said}."


def _clean(text: str, redact: Redaction) -> str:
    return _SPACE.sub(" ", _TAG.sub(" ", redact(text))).strip()
