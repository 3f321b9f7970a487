"""GigaChat, spoken to in its own dialect."""

from .auth.credentials import AUTH_URL, AccessToken, AuthorizationKey, Credentials, Password
from .options import Options
from .provider import BASE_URL, GigaChatProvider

__all__ = [
    "AUTH_URL",
    "BASE_URL",
    "AccessToken",
    "AuthorizationKey",
    "Credentials",
    "GigaChatProvider",
    "Options",
    "Password",
]
