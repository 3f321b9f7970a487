"""The words of an upstream's error, made fit for a client: no HTML, no address, no secret, no control characters."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from ...wire.codec import decode

MAX_MESSAGE = 1024  # bytes of UTF-8

_READ = 16 * 1024  # bytes of a body that are looked at
_PAGE = re.compile(r"\s*<(!doctype|html|head|body|center|h1|title)\b", re.IGNORECASE)
_TITLE = re.compile(r"<(title|h1)[^>]*>\s*([^<]{1,200}?)\s*<", re.IGNORECASE)
_TAG = re.compile(r"</?[a-zA-Z][^<>]{0,200}>")
_CONTROL = re.compile(r"[\x00-\x20\x7f-\x9f\u2028\u2029]+")
_ADDRESS = re.compile(
    r"\b[a-z][a-z0-9+.-]{1,20}://\S+"  # a URL
    r"|\b\d{1,3}(\.\d{1,3}){3}(:\d{1,5})?\b"  # an IPv4 address
    r"|\b[\w-]+(\.[\w-]+)+:\d{2,5}\b",  # host:port
    re.IGNORECASE,
)
_SECRET = re.compile(r"\b(Bearer|Basic)\s+\S+|\beyJ[\w.-]{16,}", re.IGNORECASE)


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
    def of(cls, body: bytes) -> Words:
        """The words of a body: JSON, HTML or plain text."""
        try:
            value = decode(body)
        except ValueError:
            return cls._of_text(body[:_READ].decode("utf-8", "replace"))
        return cls.of_document(value) if isinstance(value, dict) else cls("")

    @classmethod
    def of_document(cls, document: dict[str, Any]) -> Words:
        """The words of `message`, or of `error` as text or as an object with a `message`."""
        error = document.get("error")
        inner = error.get("message") if isinstance(error, dict) else error
        said = next((text for text in (document.get("message"), inner) if isinstance(text, str)), "")
        return cls._of_text(said)

    @classmethod
    def _of_text(cls, text: str) -> Words:
        if _PAGE.match(text):
            title = _TITLE.search(text)
            return cls("", page=_clean(title[2]) if title else "", is_page=True)
        return cls(_clean(text))

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


def _clean(text: str) -> str:
    text = _TAG.sub(" ", text[:_READ])
    text = _SECRET.sub("(secret)", _ADDRESS.sub("(address)", text))
    return _CONTROL.sub(" ", text).strip()
