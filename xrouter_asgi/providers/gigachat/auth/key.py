"""What people paste in place of an authorization key, told without asking GigaChat."""

from __future__ import annotations

import base64
import re

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_WORD = re.compile(r"(basic|bearer)\s", re.IGNORECASE)
_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}")
_QUOTES = ('"', "'", "`", "«", "»", "“", "”", "‘", "’")
_WHERE = 'the authorization key, base64 of "client_id:client_secret", which Studio shows once'


def mistake_in(key: str) -> str | None:
    """What is wrong with an authorization key, as the rest of a sentence that its name begins; None if nothing is.

    The sentence shows nothing of the key.
    """
    if key.startswith(_QUOTES) or key.endswith(_QUOTES):
        return "is in quotation marks. Take them off."
    if not key.isascii() or not key.isprintable() or key != key.strip():
        return "holds a character that no header may hold, or a blank at an end. Copy it again, without line breaks."
    if word := _WORD.match(key):
        return f'begins with "{word[1]}". Leave that word out.'
    if key.startswith("eyJ") and "." in key:
        return f"is an access token. Set 'access_token' to it, or write {_WHERE}."
    if _UUID.fullmatch(key):
        return f"is a client id or a client secret alone. Write {_WHERE}."
    if ":" in key:
        return f"is not encoded: it holds a ':'. Write {_WHERE}."
    return None if _is_pair(key) else f"is not base64 of an id, a ':' and a secret. Write {_WHERE}."


def _is_pair(key: str) -> bool:
    if not _BASE64.fullmatch(key):
        return False
    try:
        client, colon, secret = base64.b64decode(f"{key.rstrip('=')}==").decode().partition(":")
    except ValueError:  # a length that base64 cannot have, or no text in it
        return False
    return bool(client and colon and secret)
