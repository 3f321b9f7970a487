"""Every setting arrives: another value of it makes another app, another server, or a sentence about a mistake."""

from __future__ import annotations

import copy
import socket
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from tests.settings.parts import Leaves, leaves
from tests.settings.reading import holds_tables, settings_below
from xrouter_asgi.asgi.lifespan import ClosingAtShutdown
from xrouter_asgi.cli.main import main
from xrouter_asgi.cli.serve import build_server
from xrouter_asgi.reloading import FileWatch
from xrouter_asgi.settings import Settings, SettingsError
from xrouter_asgi.settings.errors import schema_at
from xrouter_asgi.standalone import assemble

ENVIRONMENT = {
    "A": "https://first.example/the-secret",
    "B": "https://other.example/the-secret",
    "KEY_A": "YTpi",
    "KEY_B": "YTpj",
}
"""Secrets that are good for everything, long enough for a pepper, and addresses; and two authorization keys."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A value that cannot be used here. Nothing else shows that it arrives."""

    value: object


_TLS = {"ca_bundle": "ca.pem", "cert": "client.pem", "key": "client.key", "key_password": "env:A"}
_OTHER_TLS: dict[str, Any] = {
    "ca_bundle": "other.pem",
    "cert": Refused("other.pem"),
    "key": Refused("other.pem"),
    "key_password": Refused("env:B"),
}
_TIMEOUTS = dict.fromkeys(("connect", "first", "idle", "total", "write", "pool"), 7)
_OVER_HTTP: dict[str, Any] = {
    **_OTHER_TLS,
    "base_url": "https://other.example/v1",
    "timeouts": _TIMEOUTS,
    "insecure": True,
    "errors": [{"kind": "quota", "status": [400, 403], "match": ["Empty.", "30001"]}],
    "proxy": "http://other.example:3128",
}
_RULES = {"errors": [{"kind": "rate", "status": 400, "match": "Slow."}]}
_CHANNEL = {"ca_bundle": "other.pem", "proxy": "http://proxy.example:3128"}
_PRICE = dict.fromkeys(("input", "output", "cached", "cache_write", "cache_write_1h", "request"), 7)
_TARGET = {"provider": "echo", "model": "a", "price": {"input": 1, "output": 1}}

EXAMPLE: dict[str, Any] = {
    "providers": {
        "gigachat": {"kind": "gigachat", "credentials": "env:KEY_A", **_RULES, **_TLS},
        "stand": {"kind": "gigachat", "user": "ann", "password": "env:A"},
        "token": {"kind": "gigachat", "access_token": "env:A"},
        "openai": {"kind": "openai", "base_url": "https://up.example/v1", **_RULES, **_TLS},
        "yandex": {"kind": "yandex", "api_key": "env:A", "folder": "a"},
        "claude": {"kind": "anthropic", "api_key": "env:A", **_RULES, **_TLS},
        "echo": {"kind": "echo"},
        "other": {"kind": "echo"},
    },
    "models": {"m": {"targets": [_TARGET, "other/echo"], "strategy": "lowest_cost", "cache": {"ttl": 60}}},
    "server": {"ssl_certfile": "server.pem"},
    "admission": {},
    "keys": {"url": "sqlite:///a.db"},
    "rate_limit": {"storage": "redis://a.example/1"},
    "spend": {"limit": "5 USD/day", "url": "sqlite:///a.db"},
    "prices": [{"target": "other/echo", "input": 1, "output": 1}],
    "responses": {},
    "cache": {},
    "cors": {"origins": ["https://a.example"]},
    "tracing": {"endpoint": "https://a.example:4318"},
    "access_log": {},
    "log": {},
    "metrics": {"token": "env:A", "otlp": {"endpoint": "https://a.example:4318"}},
    "alerts": {
        "slow": 5,
        "webhook": {"url": "https://a.example"},
        "slack": {"url": "env:A"},
        "telegram": {"token": "env:A", "chat": "1"},
    },
    "admin": {},
}
"""Every table, most of them with nothing but what they need."""

_COLLECTOR = {
    "endpoint": "http://b.example:4318",
    "headers": {"x-team": "blue"},
    "ca_bundle": "other.pem",
    "cert": Refused("other.pem"),
    "key": Refused("other.pem"),
    "proxy": "http://proxy.example:3128",
    "timeout": 7,
    "compression": "gzip",
}
OTHERWISE: dict[str, Any] = {
    "providers": {
        "gigachat": {
            **_OVER_HTTP,
            "own_key": True,
            "auth_url": "https://other.example/token",
            "credentials": "env:KEY_B",
            "scope": "GIGACHAT_API_CORP",
            "max_parallel": 7,
            "queue_timeout": 7,
            "client_id": "other",
            "allow_networks": ["10.0.0.0/8"],
            "options": {
                "strict": True,
                "aliases": {"a": "b"},
                "structured_output": "prompt",
                "empty_content": "omit",
                "late_system": "user",
                "replay_state": False,
                "reasoning_models": ["a"],
                "max_tokens": 7,
                "attachment_text": "Look.",
            },
        },
        "stand": {"user": "bob", "password": "env:B"},
        "token": {"access_token": "env:B"},
        "openai": {
            **_OVER_HTTP,
            "own_key": True,
            "api_key": "env:A",
            "headers": {"x-team": "blue"},
            "http2": True,
            "ask_usage": False,
            "members": ["store"],
            "speaks": ["messages"],
            "options": {
                "output_limit": "max_completion_tokens",
                "late_system": "user",
                "reasoning": "reasoning",
                "reasoning_models": ["a"],
                "prompt_cache_key": True,
                "completions": False,
            },
            "max_parallel": 7,
            "max_connections": 7,
        },
        "yandex": {"folder": "b"},
        "claude": {
            **_OVER_HTTP,
            "own_key": True,
            "api_key": "env:B",
            "headers": {"x-team": "blue"},
            "http2": True,
            "options": {
                "max_tokens": 7,
                "cache": "auto",
                "late_system": "system",
                "reasoning_models": ["a"],
                "budget_models": ["a"],
            },
            "max_parallel": 7,
            "max_connections": 7,
        },
        "echo": {"models": ["a", "b"], "delay": 1},
    },
    "models": {
        "m": {
            "targets": [
                {
                    "provider": "other",
                    "model": "b",
                    "weight": 7,
                    "max_parallel": 7,
                    "price": {**_PRICE, "above": [7, {"input": 8, "output": 8}]},
                    "capabilities": {"tools": False, "vision": False, "json_schema": False, "context": 7},
                }
            ],
            "strategy": "by_weight",
            "session_affinity": True,
            "content_policy": True,
            "hedge": 0.1,
            "cache": {"ttl": 7, "shared": True, "any_temperature": True},
            "patience": {
                "attempts": 2,
                "retry_billed": True,
                "first": 7,
                "idle": 7,
                "prebuffer": 7,
                "prebuffer_tokens": 7,
                "total": 7,
            },
        }
    },
    "server": {
        "host": "no.such.host.invalid",
        "port": 1,
        "max_body": 7,
        "drain": 7,
        "reload": False,
        "explain": True,
        "docs": True,
        "commit_after": 7,
        "trusted_proxies": ["10.0.0.0/8"],
        "workers": 7,
        "ssl_certfile": Refused("other.pem"),
        "ssl_keyfile": Refused("other.pem"),
    },
    "admission": {
        "lag": 7,
        "memory": 1 << 30,
        "bodies": 7,
        "bodies_per_key": 7,
        "connections": 7,
        "connections_per_address": 7,
    },
    "keys": {"url": "sqlite:///b.db", "pepper": "env:A", "imported": True},
    "rate_limit": {
        "limit": "7/minute",
        "models": {"m": "7/minute"},
        "storage": "redis://b.example/1",
        "when_unavailable": "open",
        "workers": 7,
        "ietf": True,
        "assumed_output": 500,
        "allow_per_process": True,
    },
    "cache": {"store": "redis://b.example/1", "max_bytes": 7},
    "spend": {
        "currency": Refused("EUR"),
        "timezone": "Europe/Moscow",
        "limit": "7 USD/day",
        "rates": {"EUR": 2},
        "url": "sqlite:///c.db",
        "labels": ["project"],
        "retention": 7,
    },
    "prices": [{"target": "other/*", **_PRICE, "source": "a tariff", "date": "2026-11-30"}],
    "responses": {"store": "redis://b.example/1", "ttl": 7, "max_bytes": 7},
    "cors": {"origins": ["https://b.example"], "max_age": 7},
    "tracing": {
        **_COLLECTOR,
        "protocol": "protobuf",
        "resource": {"team": "blue"},
        "service": "other",
        "sampling": 0.5,
        "propagate": False,
        "http_spans": Refused(True),
    },
    "access_log": {"format": "off", "exclude_paths": ["/health"]},
    "log": {"level": "debug", "format": "text"},
    "metrics": {
        "path": "/other",
        "token": "env:B",
        "port": 7,
        "host": "192.0.2.1",
        "resource": {"team": "blue"},
        "otlp": {**_COLLECTOR, "interval": 7},
    },
    "alerts": {
        "error_share": 0.7,
        "slow": 7,
        "slow_share": 0.7,
        "window": 7,
        "minimum": 7,
        "cooldown": 7,
        "off": ["slow"],
        "log": False,
        "webhook": {"url": "https://b.example", "headers": {"x-team": "blue"}, **_CHANNEL},
        "slack": {"url": "env:B", **_CHANNEL},
        "telegram": {"token": "env:B", "chat": "2", "base_url": "https://b.example", **_CHANNEL},
    },
    "admin": {"port": 7, "host": "192.0.2.1", "path": "/other", "allow": ["10.0.0.0/8"]},
}
"""Another value of every setting."""

_LISTENING = {
    "ServerSettings.host",
    "ServerSettings.port",
    "MetricsSettings.host",
    "AdminSettings.host",
    "AdminSettings.port",
}
"""Settings that show only when a server listens: see the end of this file."""

_FOR_PEOPLE = {"PriceSettings.source", "PriceSettings.date"}
"""Settings that change nothing but what people read."""

_OF_COMMANDS = {"SpendSettings.rates"}
"""Settings that only a command reads: see `tests/cli/test_prices.py`."""

_KEYS = 'keys.url = "sqlite:///keys.db"'

_OF_SEVERAL = {"ServerSettings.workers", "RateLimitSettings.allow_per_process"}
"""Settings that show only with several workers: see `tests/server/test_workers.py`."""

_OF_LOG = {"LogSettings.level", "LogSettings.format"}
"""Settings that show only in the lines of `xrouter serve`: see `tests/cli/test_cli_log.py`."""

Steps = tuple[Any, ...]


def schema_of(path: Steps) -> Any:
    """What may stand at a path of the example."""
    if path[:1] == ("providers",) and len(path) > 1:
        path = (*path[:2], EXAMPLE["providers"][path[1]]["kind"], *path[2:])
    return schema_at(Settings, path)[1]


def changes(value: Any = OTHERWISE, path: Steps = ()) -> Iterator[tuple[Steps, Any]]:
    """The path of every other value, and that value."""
    if path and (path[-1] == "above" or not holds_tables(schema_of(path))):
        yield path, value
        return
    for step, inner in value.items() if isinstance(value, dict) else enumerate(value):
        yield from changes(inner, (*path, step))


def name_of(path: Steps) -> str:
    return f"{schema_of(path[:-1]).__name__}.{path[-1]}"


def test_every_setting_has_another_value_here() -> None:
    kinds = {name for name in settings_below() if name.endswith("Settings.kind")}  # each builds a class of its own
    assert {name_of(path) for path, _ in changes()} == set(settings_below()) - kinds


def example(path: Steps) -> dict[str, Any]:
    """As much of the example as a path needs."""
    above = {"providers": {name: EXAMPLE["providers"][name] for name in ("echo", "other")}}
    document = {**above, "models": EXAMPLE["models"], path[0]: EXAMPLE[path[0]]}
    if path[0] == "admin":
        document["keys"] = EXAMPLE["keys"]  # which it needs
    if path[0] == "providers":
        document = {"providers": {path[1]: EXAMPLE["providers"][path[1]]}}
    return copy.deepcopy(document)


def changed(path: Steps, value: Any) -> dict[str, Any]:
    """The same with another value at that path."""
    document = example(path)
    table: Any = document
    for step in path[:-1]:
        table = table[step] if isinstance(step, int) else table.setdefault(step, {})
    table[path[-1]] = value
    return document


async def built(document: dict[str, Any], folder: Path) -> Leaves:
    """The values in all that is built, without the version, which every setting changes."""
    settings = Settings.parse(document, environment=ENVIRONMENT, folder=folder)
    watch = FileWatch(folder / "xrouter.toml") if settings.server.reload else None
    assembly = assemble(settings, load=Settings, watch=watch)
    assert isinstance(assembly.app, ClosingAtShutdown)
    try:
        server = build_server(settings, assembly, print)
        found = leaves(server) | {f"admin{way}": each for way, each in leaves(assembly.admin).items()}
        return {way: each for way, each in found.items() if each != settings.version}
    finally:
        await assembly.router.aclose()
        await assembly.app.aclose()


def differences(one: Leaves, other: Leaves) -> set[str]:
    return {way for way in one.keys() | other.keys() if one.get(way) != other.get(way)}


@pytest.fixture(scope="module")
def examples() -> defaultdict[Steps, list[Leaves]]:
    """What was built of each table of the example: twice, so that it is known what differs by chance."""
    return defaultdict(list)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the certificates of the example."""
    folder = tmp_path_factory.mktemp("settings")
    for name in ("ca", "other"):
        trustme.CA().cert_pem.write_to_path(folder / f"{name}.pem")
    trustme.CA().issue_cert("server").private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")
    client = trustme.CA().issue_cert("client")
    client.cert_chain_pems[0].write_to_path(folder / "client.pem")
    key = serialization.load_pem_private_key(client.private_key_pem.bytes(), password=None)
    encryption = serialization.BestAvailableEncryption(ENVIRONMENT["A"].encode())
    pem, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    (folder / "client.key").write_bytes(key.private_bytes(pem, form, encryption))
    return folder


@pytest.mark.parametrize(
    ("path", "value"),
    [
        pytest.param(*change, id=".".join(map(str, change[0])))
        for change in changes()
        if name_of(change[0]) not in _LISTENING | _OF_SEVERAL | _OF_LOG | _FOR_PEOPLE | _OF_COMMANDS
    ],
)
async def test_another_value_makes_a_difference(
    path: Steps, value: Any, folder: Path, examples: defaultdict[Steps, list[Leaves]]
) -> None:
    if isinstance(value, Refused):
        await built(example(path), folder)
        with pytest.raises(SettingsError):
            Settings.parse(changed(path, value.value), environment=ENVIRONMENT, folder=folder)
        return
    for _ in range(2 - len(before := examples[path[:2] if path[0] == "providers" else path[:1]])):
        before.append(await built(example(path), folder))
    one, other = before
    assert differences(one, await built(changed(path, value), folder)) - differences(one, other)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ('server.host = "192.0.2.1"', "Cannot listen at 192.0.2.1:8000: "),
        ("server.port = {taken}", "Cannot listen at 127.0.0.1:{taken}: "),
        ('metrics = {{ port = 9, host = "192.0.2.1" }}', "Cannot listen at 192.0.2.1:9: "),
        (f'{_KEYS}\nadmin.host = "192.0.2.1"', "Cannot listen at 192.0.2.1:9101: "),
        (f"{_KEYS}\nadmin.port = {{taken}}", "Cannot listen at 127.0.0.1:{taken}: "),
    ],
)
def test_a_server_listens_where_its_settings_say(
    setting: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        file = tmp_path / "xrouter.toml"
        file.write_text(f'providers.one.kind = "echo"\n{setting.format(taken=port)}')
        assert main(["serve", *([] if _KEYS in setting else ["--no-auth"]), "--config", str(file)]) == 1
    assert capsys.readouterr().err.startswith(said.format(taken=port))
