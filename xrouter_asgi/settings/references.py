"""References to values elsewhere: `env:NAME`, `file:PATH`, and paths relative to the folder of the settings file."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator, SecretStr, ValidationInfo

from ..providers.http import SYSTEM

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_HOW = 'Write "env:NAME" for an environment variable or "file:PATH" for a file'
_CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR")

logger = logging.getLogger("xrouter")


WRITTEN = "set in the file"
"""What is shown of a secret that is no reference."""

_OPEN = frozenset({"", "memory", "memory://", "off"})  # words in place of an address, which may hold a password


class ReferredSecret(SecretStr):
    """A secret that a reference led to.

    Attributes:
        reference: Such as `env:NAME`. It may be shown.
    """

    def __init__(self, value: str, reference: str) -> None:
        super().__init__(value)
        self.reference = reference

    def __eq__(self, other: object) -> bool:
        # SecretStr would compare classes, too.
        return isinstance(other, SecretStr) and self.get_secret_value() == other.get_secret_value()

    __hash__ = SecretStr.__hash__


@dataclass(frozen=True, slots=True)
class ReferenceSources:
    """What `env:` may name, and where relative paths start: the context of a pydantic validation."""

    environment: Mapping[str, str]
    folder: Path


def sources_of(info: ValidationInfo) -> ReferenceSources:
    return info.context if isinstance(info.context, ReferenceSources) else ReferenceSources({}, Path())


def _resolve(reference: str, sources: ReferenceSources) -> str | None:
    """The value that a reference names; None for a text that is no reference.

    The message of a ValueError continues a sentence that starts with the name of the setting.
    """
    kind, _, name = reference.partition(":")
    match kind:
        case "env":
            if value := sources.environment.get(name):
                return value
            if not _NAME.fullmatch(name):
                raise ValueError('has something behind "env:" that is not the name of an environment variable.')
            what = "not set" if value is None else "empty"
            raise ValueError(f"names the environment variable {name!r}, which is {what}. Set it to the secret.")
        case "file":
            return _read(sources.folder / name, name)
    return None


def _read(path: Path, name: str) -> str:
    try:
        value = path.read_text("utf-8").strip()
        mode = path.stat().st_mode
    except OSError as exc:
        raise ValueError(f"names the file {name!r}, which cannot be read: {exc.strerror}.") from exc
    except UnicodeDecodeError as exc:
        raise ValueError(f"names the file {name!r}, which is not a text in UTF-8.") from exc
    if not value:
        raise ValueError(f"names the file {name!r}, which is empty.")
    if os.name == "posix" and mode & 0o077:
        logger.warning("Other users of this machine can read the secret in %s. Run: chmod 600 %s", path, path)
    return value


def _secret(value: Any, info: ValidationInfo) -> Any:
    """Accept only a reference, so that the file can be shown to others and kept under version control."""
    if isinstance(value, SecretStr):
        return value
    if not isinstance(value, str):
        raise ValueError(f"is not a text. {_HOW}.")
    if (secret := _resolve(value, sources_of(info))) is None:
        raise ValueError(f"holds the secret itself. {_HOW}, so that the settings can be shown to others.")
    return ReferredSecret(secret, value)


def _text(value: Any, info: ValidationInfo) -> Any:
    """Accept a text, or a reference if the text is a secret."""
    if isinstance(value, SecretStr):
        return value
    if not isinstance(value, str):
        raise ValueError("is not a text. Write one, or a reference to it.")
    resolved = _resolve(value, sources_of(info))
    return value if resolved is None else ReferredSecret(resolved, value)


def _existing(path: Path, info: ValidationInfo) -> Path:
    full = sources_of(info).folder / path
    if not full.exists():
        raise ValueError(f"names {str(full)!r}, which does not exist. Write the path of a file or a folder.")
    return full


def _ca_bundle(value: Any, info: ValidationInfo) -> Any:
    """Like OpenSSL, take what SSL_CERT_FILE or SSL_CERT_DIR names where nothing else is written."""
    if value == SYSTEM:
        return value
    if isinstance(value, str | os.PathLike):
        return _existing(Path(value), info)
    if value is not None:
        raise ValueError(f'is {value!r}. Write the path of a file or a folder, or "{SYSTEM}" for the machine\'s store.')
    environment = sources_of(info).environment
    name = next((name for name in _CERTIFICATES if environment.get(name)), None)
    if name is None:
        return None
    path = Path(environment[name])
    if not path.exists():
        raise ValueError(f"is what {name} names, {str(path)!r}, which does not exist. Mend or unset the variable.")
    return path


Secret = Annotated[SecretStr, BeforeValidator(_secret)]
Hidden = Annotated[SecretStr, BeforeValidator(_text)]
ExistingPath = Annotated[Path, AfterValidator(_existing)]
CABundle: TypeAlias = Annotated[
    Path | Literal["system"] | None, PlainValidator(_ca_bundle), Field(validate_default=True)
]


def replaced(secret: SecretStr, value: str) -> SecretStr:
    """Another value that the same reference stands for."""
    return ReferredSecret(value, secret.reference) if isinstance(secret, ReferredSecret) else SecretStr(value)


def with_references(dumped: Any, value: Any) -> Any:
    """A dump of settings in the mode `json`, with references in the places of secrets; never their values.

    Args:
        value: The dump of the same settings in the mode `python`.
    """
    match value:
        case ReferredSecret():
            return value.reference
        case SecretStr():
            return word if (word := value.get_secret_value()) in _OPEN else WRITTEN
        case dict():
            pairs = zip(dumped.items(), value.values(), strict=True)
            return {name: with_references(each, own) for (name, each), own in pairs}
        case list() | tuple():
            return [with_references(each, own) for each, own in zip(dumped, value, strict=True)]
    return dumped


def reveal(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()
