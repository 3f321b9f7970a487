from __future__ import annotations

import pytest

from xrouter_asgi.settings import Settings, SettingsError
from xrouter_asgi.settings.providers import GigaChatSettings


def read(**variables: str) -> GigaChatSettings:
    table = Settings.from_environment(environment=variables).providers["gigachat"]
    assert isinstance(table, GigaChatSettings)
    return table


def test_the_authorization_key_alone_serves_every_model() -> None:
    settings = Settings.from_environment(environment={"GIGACHAT_CREDENTIALS": "YTpi"})
    assert {name: [str(target) for target in table.targets] for name, table in settings.served.items()} == {
        "*": ["gigachat/*"]
    }


def test_every_supported_name_has_its_effect(tmp_path: pytest.TempPathFactory) -> None:
    table = read(
        GIGACHAT_CREDENTIALS="YTpi",
        GIGACHAT_SCOPE="GIGACHAT_API_B2B",
        GIGACHAT_BASE_URL="https://example.com/v1",
        GIGACHAT_AUTH_URL="https://example.com/oauth",
        GIGACHAT_USER="me",
        GIGACHAT_PASSWORD="mine",
        GIGACHAT_ACCESS_TOKEN="token",
        GIGACHAT_TIMEOUT="7.5",
        GIGACHAT_MAX_CONNECTIONS="3",
        GIGACHAT_VERIFY_SSL_CERTS="False",
    )
    secrets = (table.credentials, table.user, table.password, table.access_token)
    assert [secret and secret.get_secret_value() for secret in secrets] == ["YTpi", "me", "mine", "token"]
    assert (table.scope, table.base_url, table.auth_url) == (
        "GIGACHAT_API_B2B",
        "https://example.com/v1",
        "https://example.com/oauth",
    )
    assert (table.timeouts.first, table.timeouts.idle, table.timeouts.connect) == (7.5, 7.5, 5.0)
    assert (table.max_parallel, table.insecure) == (3, True)


@pytest.mark.parametrize(("value", "insecure"), [("true", False), ("1", False), ("", False), ("0", True), ("no", True)])
def test_certificates_are_checked_unless_told_otherwise(value: str, *, insecure: bool) -> None:
    assert read(GIGACHAT_CREDENTIALS="YTpi", GIGACHAT_VERIFY_SSL_CERTS=value).insecure is insecure


def test_the_named_model_is_served_as_default() -> None:
    settings = Settings.from_environment(
        environment={"GIGACHAT_CREDENTIALS": "YTpi", "GIGACHAT_MODEL": "GigaChat-2-Max"}
    )
    assert [str(target) for target in settings.served["default"].targets] == ["gigachat/GigaChat-2-Max"]


def test_names_without_effect_are_told(caplog: pytest.LogCaptureFixture) -> None:
    read(GIGACHAT_CREDENTIALS="YTpi", GIGACHAT_MAX_RETRIES="3", GIGACHAT_FLAGS="a", GIGACHAT_VERBOSE="")
    assert caplog.messages == ["GIGACHAT_FLAGS has no effect here.", "GIGACHAT_MAX_RETRIES has no effect here."]


def test_mistakes_name_the_variables() -> None:
    with pytest.raises(SettingsError) as caught:
        read(
            GIGACHAT_CREDENTIALS="YTpi",
            GIGACHAT_SCOPE="PERS",
            GIGACHAT_TIMEOUT="soon",
            GIGACHAT_CA_BUNDLE_FILE="/no/where.pem",
            GIGACHAT_MODEL="a*b*",
        )
    starts = [
        "environment: GIGACHAT_TIMEOUT is 'soon'.",
        "environment: GIGACHAT_CA_BUNDLE_FILE names '/no/where.pem', which does not exist.",
        "environment: GIGACHAT_SCOPE is 'PERS'. Write 'GIGACHAT_API_PERS',",
        "environment: GIGACHAT_MODEL is 'gigachat/a*b*'.",
        "environment: GIGACHAT_MODEL holds a '*',",
    ]
    assert [problem[: len(start)] for problem, start in zip(caught.value.problems, starts, strict=True)] == starts


def test_a_mistake_of_no_single_variable_names_the_provider() -> None:
    with pytest.raises(SettingsError, match=r"^environment: providers\.gigachat cannot be used: 'key' is set without"):
        read(GIGACHAT_CREDENTIALS="YTpi", GIGACHAT_KEY_FILE=__file__)
