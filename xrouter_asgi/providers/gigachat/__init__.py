"""GigaChat, spoken to in its own dialect."""

from .auth.credentials import AUTH_URL, AccessToken, AuthorizationKey, Credentials, Password, Token
from .auth.key import mistake_in
from .options import GigaChatOptions, StructuredOutput
from .provider import BASE_URL, GigaChatProvider

__all__ = [
    "AUTH_URL",
    "BASE_URL",
    "AccessToken",
    "AuthorizationKey",
    "Credentials",
    "GigaChatOptions",
    "GigaChatProvider",
    "Password",
    "StructuredOutput",
    "Token",
    "mistake_in",
]
