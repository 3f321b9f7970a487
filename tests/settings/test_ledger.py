"""Where the ledger is."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from xrouter_asgi.inspection import describe_layers
from xrouter_asgi.ledger import SeededBudget
from xrouter_asgi.limits import MemoryLimits
from xrouter_asgi.settings import Settings, SettingsError, ledger_of, load_ledger
from xrouter_asgi.standalone import _limit_store

ECHO: dict[str, Any] = {"providers": {"echo": {"kind": "echo"}}}
KEYS = {"url": "sqlite:///keys.db"}


def parsed(**tables: Any) -> Settings:
    return Settings.parse({**ECHO, **tables}, environment={"URL": "postgresql://u:geheim@db.example/usage"})


@pytest.mark.parametrize(
    ("tables", "place"),
    [
        ({}, None),
        ({"keys": KEYS}, None),
        ({"spend": {}}, None),
        ({"keys": KEYS, "spend": {}}, "SQLLedger('sqlite:///keys.db')"),
        ({"keys": KEYS, "spend": {"url": "env:URL"}}, "SQLLedger('postgresql+asyncpg://u:***@db.example/usage')"),
    ],
)
def test_it_is_in_the_database_of_spend_or_else_of_keys(tables: dict[str, Any], place: str | None) -> None:
    ledger = ledger_of(parsed(**tables))
    assert (None if ledger is None else repr(ledger)) == place


def test_it_is_shown_without_its_password() -> None:
    shown = describe_layers(parsed(spend={"url": "env:URL"}))
    assert "ledger      postgresql://db.example/usage" in shown
    assert "geheim" not in shown
    assert "ledger      off" in describe_layers(parsed())


@pytest.mark.parametrize(
    ("spend", "sentence"),
    [
        ({"url": "mysql://host/usage"}, "spend.url cannot be used: The ledger cannot be in 'mysql'."),
        ({"retention": 0}, "spend.retention"),
        ({"retention": float("inf")}, "spend.retention"),
        ({"labels": "project"}, "spend.labels"),
    ],
)
def test_mistakes_are_told(spend: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parsed(spend=spend)
    assert any(sentence in problem for problem in caught.value.problems)


def test_a_file_of_sqlite_serves_one_worker() -> None:
    tables: dict[str, Any] = {
        "spend": {"url": "sqlite:///usage.db"},
        "rate_limit": {"storage": "redis://r.example"},
        "responses": {"store": "off"},
    }
    settings = parsed(**tables)
    with pytest.raises(SettingsError) as caught:
        settings.with_server(workers=2)
    (problem,) = caught.value.problems
    assert problem.startswith("spend.url is a file of SQLite, which 2 workers would all write to")
    assert 'Write url = "postgresql://user@host/name"' in problem
    parsed(**{**tables, "spend": {"url": "env:URL"}}).with_server(workers=2)


async def test_budgets_begin_at_the_ledger_where_there_is_one() -> None:
    assert isinstance(
        _limit_store(parsed(keys=KEYS, spend={}), ledger_of(parsed(keys=KEYS, spend={})), {}), SeededBudget
    )
    assert isinstance(_limit_store(parsed(keys=KEYS), None, {}), MemoryLimits)
    assert _limit_store(parsed(), None, {}) is None


def test_only_what_tells_of_the_ledger_is_read(tmp_path: Path) -> None:
    file = tmp_path / "xrouter.toml"
    file.write_text(
        '[providers.up]\nkind = "openai"\napi_key = "env:NOBODY_SETS_THIS"\n'
        '[keys]\nurl = "sqlite:///keys.db"\n[spend]\ncurrency = "RUB"\ntimezone = "Europe/Moscow"\n'
    )
    place = load_ledger(file, environment={})
    assert place == (f"sqlite:///{tmp_path}/keys.db", "RUB", ZoneInfo("Europe/Moscow"))
    assert load_ledger(file, url="sqlite:///other.db", environment={}).url == "sqlite:///other.db"


def test_without_settings_the_ledger_is_in_utc_and_dollars(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    place = load_ledger(url="sqlite:///usage.db", environment={})
    assert (place.currency, place.timezone.utcoffset(None)) == ("USD", ZoneInfo("UTC").utcoffset(None))
    with pytest.raises(ValueError, match="There is no ledger"):
        load_ledger(environment={})
