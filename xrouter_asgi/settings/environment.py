"""Settings from GigaChat's own environment variables, which its users have set already.

The names are those of the official Python SDK (https://github.com/ai-forever/gigachat). Two more name the database of
API keys and its pepper.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .errors import Location, SettingsError

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
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

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


def read_env_file(file: Path) -> dict[str, str]:
    """The variables of a file with lines `NAME=VALUE`, as Docker and most tools read `.env`.

    A line may begin with `export`; blank lines and those that begin with `#` count for nothing. A value may stand in
    quotation marks; without them it ends at a blank and a `#`. Nothing is expanded.

    Raises:
        SettingsError: The file cannot be read, or a line is no such line.
    """
    try:
        lines = file.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "it is not a text in UTF-8"
        raise SettingsError([f"{file} cannot be read: {reason}."]) from exc
    found: dict[str, str] = {}
    wrong = []
    for number, line in enumerate(map(str.strip, lines), start=1):
        if line and not line.startswith("#"):
            if (pair := _assignment(line)) is None:
                wrong.append(f"{file}: line {number} is no NAME=VALUE.")  # without the line, which may hold a secret
            else:
                found[pair[0]] = pair[1]
    if wrong:
        raise SettingsError(wrong)
    return found


def _assignment(line: str) -> tuple[str, str] | None:
    name, equals, value = (part.strip() for part in line.removeprefix("export ").partition("="))
    if not equals or not _NAME.fullmatch(name):
        return None
    if not value.startswith(("'", '"')):
        return name, re.split(r"\s#", value, maxsplit=1)[0].rstrip()
    inner, closed, rest = value[1:].partition(value[0])
    return (name, inner) if closed and re.fullmatch(r"\s*(#.*)?", rest) else None


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
