from __future__ import annotations

import math
import os
import tomllib
import traceback
from pathlib import Path
from typing import Any

import pytest

from xrouter_asgi.settings import Settings, SettingsError
from xrouter_asgi.settings.models import TargetSettings
from xrouter_asgi.settings.providers import EchoSettings, GigaChatSettings, OpenAISettings

WHOLE = """
[providers.gigachat]
kind = "gigachat"
credentials = "env:GIGACHAT_CREDENTIALS"
scope = "GIGACHAT_API_CORP"
max_parallel = 4
options = { strict = true, aliases = { "GPT" = "GigaChat-2" } }

[providers.local]
kind = "openai"
base_url = "http://127.0.0.1:11434/v1"
api_key = "env:LOCAL_KEY"
headers = { "x-tenant" = "blue", "x-token" = "env:LOCAL_KEY" }
timeouts = { connect = 2.0, first = 30.0, total = inf }

[models.assistant]
targets = ["gigachat/GigaChat-2-Pro", "local/qwen3"]

[models."local-*"]
targets = ["local/*"]

[server]
host = "0.0.0.0"
port = 80
drain = 5
"""
ENVIRONMENT = {"GIGACHAT_CREDENTIALS": "dGhlOmtleQ==", "LOCAL_KEY": "local-key"}
ECHO = {"kind": "echo"}


def parse(text: str, environment: dict[str, str] | None = None) -> Settings:
    return Settings.parse(tomllib.loads(text), source="xrouter.toml", environment=environment or {})


def problems(text: str, environment: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        parse(text, environment)
    return [problem.removeprefix("xrouter.toml: ") for problem in caught.value.problems]


def test_a_whole_file_is_read_into_typed_tables() -> None:
    settings = parse(WHOLE, ENVIRONMENT)
    gigachat, local = settings.providers["gigachat"], settings.providers["local"]
    assert isinstance(gigachat, GigaChatSettings)
    assert isinstance(local, OpenAISettings)
    assert gigachat.credentials is not None
    assert gigachat.credentials.get_secret_value() == "dGhlOmtleQ=="
    assert (gigachat.scope, gigachat.max_parallel, gigachat.options.strict) == ("GIGACHAT_API_CORP", 4, True)
    assert gigachat.options.aliases == {"GPT": "GigaChat-2"}
    assert {name: value.get_secret_value() for name, value in local.headers.items()} == {
        "x-tenant": "blue",
        "x-token": "local-key",
    }
    timeouts = local.timeouts
    assert (timeouts.connect, timeouts.first, timeouts.total, timeouts.pool) == (2.0, 30.0, math.inf, 5.0)
    assert (settings.server.host, settings.server.port, settings.server.drain) == ("0.0.0.0", 80, 5.0)
    assert [str(target) for target in settings.served["assistant"].targets] == [
        "gigachat/GigaChat-2-Pro",
        "local/qwen3",
    ]
    assert settings.served["local-*"].targets == (TargetSettings(provider="local", model="*"),)


def test_no_secret_is_in_the_repr() -> None:
    shown = repr(parse(WHOLE, ENVIRONMENT))
    assert "gigachat" in shown
    assert "dGhlOmtleQ" not in shown
    assert "local-key" not in shown


def test_a_single_provider_without_models_serves_all_of_them() -> None:
    served = Settings.parse({"providers": {"mine": ECHO}}).served
    assert {name: table.targets for name, table in served.items()} == {
        "*": (TargetSettings(provider="mine", model="*"),)
    }


def test_every_mistake_is_reported_at_once_with_its_path() -> None:
    found = problems(
        """
        [providers.gigachat]
        kind = "gigachat"
        credentials = "env:NOPE"
        scop = "GIGACHAT_API_PERS"
        max_parallel = 0
        [providers.local]
        kind = "openai"
        base_url = "ftp://localhost"
        api_key = "sk-literal"
        timeouts = { connect = -1, frist = 3 }
        [providers.third]
        kind = "opnai"
        [providers.fourth]
        [models.assistant]
        targets = ["gigachat/GigaChat-2-Pro", "lokal/qwen3", "foo"]
        [models.plain]
        targets = ["local/*"]
        [models.none]
        [models."a*b*"]
        targets = []
        [server]
        port = 99999
        host = 5
        trusted_proxies = ["*", "10.0.0.1"]
        [servr]
        [models.hasty]
        targets = ["local/a"]
        patience = { attempts = 0, first = "soon", idel = 3 }
        """
    )
    starts = [
        "providers.gigachat.credentials names the environment variable 'NOPE', which is not set.",
        "providers.gigachat has no key 'scop'. Did you mean 'scope'? Known: ",
        "providers.gigachat.max_parallel is 0. It should be greater than 0.",
        "providers.local.base_url cannot be used: Base URL 'ftp://localhost' has no scheme 'http' or 'https'",
        'providers.local.api_key holds the secret itself. Write "env:NAME"',
        "providers.local.timeouts.connect is -1. It should be greater than 0.",
        "providers.local.timeouts has no key 'frist'. Did you mean 'first'? Known: connect, first, idle, pool, total,",
        "providers.third has the kind 'opnai'. Did you mean 'openai'? Known: anthropic, azure, cloudru, deepseek,",
        'providers.fourth has no \'kind\'. Write kind = one of "gigachat", "openai", "azure",',
        "models.assistant.targets[1] names provider 'lokal'. Did you mean 'local'? Known: fourth, gigachat,",
        "models.assistant.targets[2] is 'foo'. Write \"PROVIDER/MODEL\"",
        "models.plain.targets[0] holds a '*', but the name 'plain' has none",
        "models.none.targets is missing. Write it.",
        'models."a*b*".targets is empty. Write at least one.',
        "models.\"a*b*\" has a name that is empty or holds more than one '*'.",
        "server.port is 99999. It should be less than or equal to 65535.",
        "server.host is 5. It should be a valid string.",
        "server.trusted_proxies[0] is '*'. Write an address or a network",
        "models.hasty.patience.attempts is 0. It should be greater than 0.",
        "models.hasty.patience.first is 'soon'. It should be a valid number",
        "models.hasty.patience has no key 'idel'. Did you mean 'idle'? Known: attempts, first, ",
        "the file has no key 'servr'. Did you mean 'server'? Known: access_log, admin, admission, alerts,",
    ]
    unmatched = [start for start in starts if not any(problem.startswith(start) for problem in found)]
    assert unmatched == []
    assert len(found) == len(starts)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", 'providers is empty. Write for example providers.gigachat.kind = "gigachat".'),
        ("providers = 5", "providers is no table. Write one, [providers]."),
        ("providers.a = 5", "providers.a is no table. Write one, [providers.a]."),
        ('providers.a.kind = "echo"\nmodels = 5', "models is no table. Write one, [models]."),
        ('providers.a.kind = "echo"\nmodels.m = 5', "models.m is no table. Write one, [models.m]."),
        (
            'providers."a/b".kind = "echo"',
            "providers.\"a/b\" has a name that is empty or holds a '/'. Write one without.",
        ),
        (
            'providers.a.kind = "echo"\nmodels.m.targets = "a/b"',
            "models.m.targets is 'a/b'. Write a list.",
        ),
        ('providers.a.kind = "echo"\nmodels.m.targets = [5]', 'models.m.targets[0] is 5. Write "PROVIDER'),
        ('providers.a = { kind = "openai" }', "providers.a.base_url is missing. Write it."),
        ('providers.a = { kind = "openai", base_url = "http://x", api_key = 5 }', "providers.a.api_key is not a text."),
        (
            'providers.a = { kind = "openai", base_url = "http://x", headers = { b = 5 } }',
            "providers.a.headers.b is not a text.",
        ),
        (
            'providers.a = { kind = "openai", base_url = "http://x", zzz = 1 }',
            "providers.a has no key 'zzz'. Known:",
        ),
        (
            'providers.a = { kind = "gigachat", access_token = "env:KEY", options = { max_tokens = 0 } }',
            "providers.a.options cannot be used: max_tokens is 0.",
        ),
        (
            'providers.a = { kind = "gigachat", access_token = "env:KEY", options = { reasoning_models = "b" } }',
            "providers.a.options.reasoning_models is 'b'. Write a list.",
        ),
        (
            'providers.a = { kind = "gigachat", access_token = "env:KEY", options = { aliases = 5 } }',
            "providers.a.options.aliases is no table. Write one, [providers.a.options.aliases].",
        ),
    ],
)
def test_a_mistake_is_said_in_words(text: str, problem: str) -> None:
    assert [found[: len(problem)] for found in problems(text, {"KEY": "key"})][:1] == [problem]


def test_several_providers_without_models_are_a_mistake_that_says_what_to_write() -> None:
    (problem,) = problems('providers.one.kind = "echo"\nproviders.two.kind = "echo"')
    assert problem.startswith("models is missing, and with 2 providers")
    assert 'models.assistant.targets = ["one/MODEL"]' in problem


_UNKNOWN_TARGET = (
    "models.m has no key 'target'. Did you mean 'targets'? "
    "Known: cache, content_policy, hedge, patience, session_affinity, strategy, targets."
)


@pytest.mark.parametrize(
    ("place", "known"),
    [
        ("models.m.target = 1", _UNKNOWN_TARGET),
        (
            "server.ports = 1",
            (
                "server has no key 'ports'. Did you mean 'port'? "
                "Known: commit_after, docs, drain, explain, host, max_body, port, reload, ssl_certfile, ssl_keyfile, "
                "trusted_proxies, workers."
            ),
        ),
        (
            'models.n.targets = [{ provider = "a", model = "b", x = 1 }]',
            "models.n.targets[0] has no key 'x'. Known: capabilities, max_parallel, model, price, provider, weight.",
        ),
    ],
)
def test_an_unknown_key_is_told_with_the_known_ones(place: str, known: str) -> None:
    text = f'providers.a.kind = "echo"\nmodels.m.targets = ["a/b"]\n{place}'
    assert problems(text) == [known]


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ("", "providers.g cannot be used: "),
        ('credentials = "env:KEY"\nclient_id = "ä"', "providers.g cannot be used: 'client_id' is 'ä'."),
        ('credentials = "env:KEY"\nproxy = "socks5://x"', "providers.g cannot be used: 'proxy' must start with"),
        ('credentials = "env:KEY"\nauth_url = "here"', "providers.g.auth_url cannot be used: Base URL 'here'"),
        (
            'credentials = "env:KEY"\nca_bundle = "/no/where.pem"',
            "providers.g.ca_bundle names '/no/where.pem'",
        ),
        ('credentials = "env:KEY"\nca_bundle = "{here}"', "providers.g cannot be used: 'ca_bundle':"),
    ],
)
def test_what_the_provider_itself_refuses_is_reported_as_a_mistake_of_its_table(table: str, problem: str) -> None:
    text = f'[providers.g]\nkind = "gigachat"\n{table.format(here=__file__)}'
    (found,) = problems(text, {"KEY": "YTpi"})
    assert found.startswith(problem)


def test_checking_an_insecure_provider_does_not_warn_yet(caplog: pytest.LogCaptureFixture) -> None:
    settings = parse('providers.a = { kind = "openai", base_url = "https://x", insecure = true }')
    assert caplog.messages == []
    settings.providers["a"].build("a")
    assert [message[:19] for message in caplog.messages] == ["TLS certificates of"]


def test_a_mistake_does_not_repeat_a_secret_nor_keep_it_in_its_traceback() -> None:
    with pytest.raises(SettingsError) as caught:
        parse('providers.a = { kind = "openai", base_url = "http://x", api_key = "sk-literal" }')
    assert "sk-literal" not in str(caught.value)
    assert caught.value.__context__ is None


def test_no_mistake_shows_a_secret_in_its_traceback() -> None:
    secret = "marked".upper()  # a traceback shows the lines of this test, too
    document = {
        "providers": {"up": {"kind": "openai", "base_url": f"http://me:{secret}@x", "api_key": "env:KEY"}},
        "keys": {"url": f"mysql://me:{secret}@x", "pepper": secret},
        "rate_limit": {"storage": f"mongodb://:{secret}@x"},
        "metrics": {"token": secret},
    }
    with pytest.raises(SettingsError) as caught:
        Settings.parse(document, environment={"KEY": secret})
    assert len(caught.value.problems) == 4
    assert secret not in "".join(traceback.format_exception(caught.value))


def test_long_values_are_cut() -> None:
    (problem,) = problems(f'providers.a.kind = "echo"\nserver.port = "{"x" * 500}"')
    assert len(problem) < 150


class TestFromFile:
    def test_relative_paths_start_at_the_folder_of_the_file(self, tmp_path: Path) -> None:
        (tmp_path / "key.txt").write_text("from-file\n")
        file = tmp_path / "xrouter.toml"
        file.write_text('providers.a = { kind = "openai", base_url = "http://x", api_key = "file:key.txt" }')
        table = Settings.from_file(file, environment={}).providers["a"]
        assert isinstance(table, OpenAISettings)
        assert table.api_key is not None
        assert table.api_key.get_secret_value() == "from-file"

    def test_a_syntax_error_names_its_line(self, tmp_path: Path) -> None:
        file = tmp_path / "xrouter.toml"
        file.write_text("[providers.a]\nkind = echo\n")
        with pytest.raises(SettingsError, match=r"xrouter\.toml is not TOML: .*line 2"):
            Settings.from_file(file)

    def test_a_missing_file_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(SettingsError, match=r"none\.toml cannot be read: No such file or directory\."):
            Settings.from_file(tmp_path / "none.toml")

    def test_bytes_that_are_no_text_are_refused(self, tmp_path: Path) -> None:
        (tmp_path / "x.toml").write_bytes(b"\xff\xfe")
        with pytest.raises(SettingsError, match="not a text in UTF-8"):
            Settings.from_file(tmp_path / "x.toml")


BOTH = {"XROUTER_CONFIG": "variable.toml", "GIGACHAT_CREDENTIALS": "YTpi"}


class TestLoad:
    """Which of the possible sources is read."""

    @pytest.fixture(autouse=True)
    def folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.chdir(tmp_path)
        for name in ("named", "variable", "xrouter"):
            (tmp_path / f"{name}.toml").write_text(f'providers.{name}.kind = "echo"')
        return tmp_path

    def read(self, path: str | None = None, *, environment: dict[str, str]) -> list[str]:
        return list(Settings.load(path, environment=environment).providers)

    def test_the_named_file_comes_first(self) -> None:
        assert self.read("named.toml", environment=BOTH) == ["named"]

    def test_then_the_variable(self) -> None:
        assert self.read(environment=BOTH) == ["variable"]

    def test_then_the_file_of_this_folder(self) -> None:
        assert self.read(environment={"GIGACHAT_CREDENTIALS": "YTpi"}) == ["xrouter"]

    def test_then_gigachats_environment(self, folder: Path) -> None:
        os.remove(folder / "xrouter.toml")
        assert self.read(environment={"GIGACHAT_CREDENTIALS": "YTpi"}) == ["gigachat"]

    def test_and_else_three_ways_to_start_are_told(self, folder: Path) -> None:
        os.remove(folder / "xrouter.toml")
        with pytest.raises(SettingsError) as caught:
            self.read(environment={"GIGACHAT_SCOPE": "GIGACHAT_API_PERS"})
        for way in ("xrouter demo", "GIGACHAT_CREDENTIALS=KEY xrouter serve", "xrouter init"):
            assert way in str(caught.value)


def test_settings_cannot_be_changed() -> None:
    settings: Any = Settings.parse({"providers": {"a": ECHO}})
    with pytest.raises(ValueError, match="frozen"):
        settings.server = None


def test_an_echo_is_built_with_its_models() -> None:
    provider = EchoSettings(kind="echo", models=("a", "b"), delay=0.5).build("mine")
    assert provider.name == "mine"
