"""What is wrong with a pasted authorization key is told without asking GigaChat, and without showing it."""

from __future__ import annotations

import base64

import pytest

from xrouter_asgi.providers.gigachat import AuthorizationKey, mistake_in
from xrouter_asgi.settings import Settings, SettingsError
from xrouter_asgi.testing.gigachat import KEY

UUID = "6f0b1291-c7f3-43c6-bb2e-9f3efb2dc98e"

PASTED = [
    (f'"{KEY}"', "is in quotation marks."),
    (f"«{KEY}»", "is in quotation marks."),
    (f"Basic {KEY}", 'begins with "Basic".'),
    (f"bearer {KEY}", 'begins with "bearer".'),
    (UUID, "is a client id or a client secret alone."),
    (UUID.upper(), "is a client id or a client secret alone."),
    (f"{UUID}:{UUID}", "is not encoded"),
    ("eyJhbGciOiJSU0Ei.abc.def", "is an access token."),
    (f"{KEY} ", "holds a character that no header may hold, or a blank at an end."),
    (f"{KEY[:20]}\n{KEY[20:]}", "holds a character that no header may hold"),
    (KEY[:-7], "is not base64 of an id, a ':' and a secret."),
    (base64.b64encode(UUID.encode()).decode(), "is not base64 of an id, a ':' and a secret."),
    (base64.b64encode(f"{UUID}:".encode()).decode(), "is not base64 of an id, a ':' and a secret."),
    (base64.b64encode(b"\xff\xfe:\xff").decode(), "is not base64 of an id, a ':' and a secret."),
    ("sk-what-another-provider-wants", "is not base64 of an id, a ':' and a secret."),
]


@pytest.mark.parametrize(("pasted", "told"), PASTED)
def test_a_mistake_is_told_without_the_key(pasted: str, told: str) -> None:
    mistake = mistake_in(pasted)
    assert mistake is not None
    assert mistake.startswith(told)
    assert not {pasted, pasted.strip('"«»'), UUID, KEY} & set(mistake.split())
    with pytest.raises(ValueError, match=r"^'credentials' "):
        AuthorizationKey(pasted)


@pytest.mark.parametrize("key", [KEY, KEY.rstrip("="), base64.b64encode(f"{UUID}:{UUID}".encode()).decode()])
def test_a_key_may_lack_its_padding(key: str) -> None:
    assert mistake_in(key) is None


def test_in_a_file_the_setting_is_named_and_in_the_environment_the_variable() -> None:
    document = {"providers": {"g": {"kind": "gigachat", "credentials": "env:MINE"}}}
    with pytest.raises(SettingsError, match=r"providers\.g\.credentials is a client id"):
        Settings.parse(document, environment={"MINE": UUID})
    with pytest.raises(SettingsError, match="environment: GIGACHAT_CREDENTIALS is in quotation marks"):
        Settings.from_environment(environment={"GIGACHAT_CREDENTIALS": f"'{KEY}'"})
