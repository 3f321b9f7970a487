"""Settings from GigaChat's own environment variables, which its users have set already.

The names are those of the official Python SDK (https://github.com/ai-forever/gigachat). Two more name the database of
API keys and its pepper.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from .errors import Location

PREFIX = "GIGACHAT_"
KEYS_URL = "XROUTER_KEYS_URL"
KEYS_PEPPER = "XROUTER_KEYS_PEPPER"

_KEYS = {
    "SCOPE": "scope",
    "BASE_URL": "base_url",
    "AUTH_URL": "auth_url",
    "USER": "user",
    "CA_BUNDLE_FILE": "ca_bundle",
    "CERT_FILE": "cert",
    "KEY_FILE": "key",
    "MAX_CONNECTIONS": "max_parallel",
}
_SECRETS = {
    "CREDENTIALS": "credentials",
    "PASSWORD": "password",
    "ACCESS_TOKEN": "access_token",
    "KEY_FILE_PASSWORD": "key_password",
}
_OTHERS = {"MODEL", "TIMEOUT", "VERIFY_SSL_CERTS"}
_FALSE = {"false", "0", "no", "off", "f", "n"}

logger = logging.getLogger("xrouter")


def gigachat(environment: Mapping[str, str]) -> dict[str, Any]:
    """The document that `GIGACHAT_*` describe: one provider, with each of its models under its own name; and the keys.

    `GIGACHAT_MODEL` is also served as `default`. `GIGACHAT_TIMEOUT` bounds each wait for the upstream, as in the SDK,
    not the whole answer. A warning names the variables that have no effect.
    """
    given = {
        name.removeprefix(PREFIX): value for name, value in environment.items() if name.startswith(PREFIX) and value
    }
    table: dict[str, Any] = {"kind": "gigachat"}
    table |= {key: given[name] for name, key in _KEYS.items() if name in given}
    table |= {key: f"env:{PREFIX}{name}" for name, key in _SECRETS.items() if name in given}
    if "VERIFY_SSL_CERTS" in given:
        table["insecure"] = given["VERIFY_SSL_CERTS"].lower() in _FALSE
    if "TIMEOUT" in given:
        table["timeouts"] = {"first": given["TIMEOUT"], "idle": given["TIMEOUT"]}
    models = {"*": {"targets": ["gigachat/*"]}}
    if "MODEL" in given:
        models["default"] = {"targets": [f"gigachat/{given['MODEL']}"]}
    for name in sorted(given.keys() - _KEYS.keys() - _SECRETS.keys() - _OTHERS):
        logger.warning("%s%s has no effect here.", PREFIX, name)
    document: dict[str, Any] = {"providers": {"gigachat": table}, "models": models}
    if environment.get(KEYS_URL):
        document["keys"] = {"url": f"env:{KEYS_URL}"}
        if environment.get(KEYS_PEPPER):
            document["keys"]["pepper"] = f"env:{KEYS_PEPPER}"
    return document


def variable(path: Location) -> str | None:
    """The variable that a setting came from; None if it came from no single one."""
    match path:
        case ("providers", "gigachat", "timeouts", *_):
            return PREFIX + "TIMEOUT"
        case ("models", "default", *_):
            return PREFIX + "MODEL"
        case ("providers", "gigachat", key):
            return next((PREFIX + name for name, of in (_KEYS | _SECRETS).items() if of == key), None)
        case ("keys", *_):
            return KEYS_PEPPER if path[-1] == "pepper" else KEYS_URL
    return None
