"""`xrouter spend`, on a ledger in SQLite."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.ledger.entries import entry
from xrouter_asgi.cli.main import main
from xrouter_asgi.ledger import Entry, SQLLedger

TODAY = datetime.now(UTC).replace(hour=12)


async def fill(url: str, *entries: Entry) -> None:
    ledger = SQLLedger(url)
    await ledger.write(entries)
    await ledger.aclose()


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Settings whose ledger holds a little."""
    file = tmp_path / "xrouter.toml"
    file.write_text(
        """
[providers.up]
kind = "openai"
base_url = "https://up.example/v1"
api_key = "env:NOBODY_SETS_THIS"
[keys]
url = "sqlite:///keys.db"
[spend]
currency = "RUB"
""",
        "utf-8",
    )
    asyncio.run(
        fill(
            f"sqlite:///{tmp_path}/keys.db",
            entry(TODAY, cost=1_500_000_000, input=1_200_000),
            entry(TODAY, owner="bob", key="key_2", model="large", cost=500_000_000, error="upstream_error"),
            entry(TODAY, owner="=cmd()", key="key_3", cost=None),
            entry(TODAY - timedelta(days=40), cost=9_000_000_000),
        )
    )
    return file


def spend(config: Path, *arguments: str) -> int:
    return main(["spend", "--config", str(config), *arguments])


def test_each_owner_has_a_row_with_a_bar_by_its_share(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert spend(config) == 0
    out = capsys.readouterr().out
    first = (datetime.now(UTC) - timedelta(days=30)).date()
    assert out.splitlines() == [
        f"{first} to {datetime.now(UTC).date()}, in RUB",
        "owner   requests  failed      input  output  cost",
        "ann            1       0  1,200,000       5   1.5  ████████████████████████ 75%",
        "bob            1       1         10       5   0.5  ████████ 25%",
        "=cmd()         1       0         10       5     0  0%",
        "all            3       1  1,200,020      15     2",
        "",
        "Not in the cost, because their model has no price: 1 of 3 requests.",
    ]


def test_it_is_split_and_filtered_by_what_is_asked_for(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert spend(config, "--by", "model,owner", "--since", "60d", "--owner", "ann", "--model", "SM*", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["total"]["cost"] == "10.5"
    assert [(each["owner"], each["model"], each["cost"], each["requests"]) for each in told["sums"]] == [
        ("ann", "small", "10.5", 2)
    ]
    assert told["currency"] == "RUB"


def test_a_request_is_in_the_sum_of_each_group_and_once_in_that_of_all(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"sqlite:///{tmp_path}/other.db"
    both, one = entry(TODAY, groups=("blue", "red"), cost=3 * 10**9), entry(TODAY, groups=("red",), cost=10**9)
    asyncio.run(fill(url, both, one, entry(TODAY, cost=10**9)))
    assert main(["spend", "--url", url, "--by", "group"]) == 0
    rows = [line.split()[:6] for line in capsys.readouterr().out.splitlines()[2:]]
    assert [(row[0], row[1], row[5]) for row in rows] == [
        ("red", "2", "4"), ("blue", "1", "3"), ("-", "1", "1"), ("all", "3", "5")
    ]  # fmt: skip
    assert main(["spend", "--url", url, "--by", "month", "--group", "red", "--json"]) == 0
    assert [each["cost"] for each in json.loads(capsys.readouterr().out)["sums"]] == ["4"]


def test_csv_is_for_spreadsheets_and_gives_them_no_orders(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert spend(config, "--csv") == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [(row["owner"], row["cost"], row["currency"]) for row in rows] == [
        ("ann", "1.5", "RUB"),
        ("bob", "0.5", "RUB"),
        ("'=cmd()", "0", "RUB"),
    ]


def test_until_is_the_last_day(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert spend(config, "--since", "60d", "--until", "30d", "--json") == 0
    assert json.loads(capsys.readouterr().out)["total"]["cost"] == "9"


def test_nothing_spent_is_said(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert spend(config, "--owner", "nobody") == 0
    assert "Nobody asked for anything." in capsys.readouterr().out
    assert spend(config, "--owner", "nobody", "--json") == 0
    assert json.loads(capsys.readouterr().out)["total"]["requests"] == 0


def test_where_nothing_has_a_price_the_bars_are_of_requests(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert spend(config, "--owner", "=cmd()", "--by", "") == 0
    assert "100%" in capsys.readouterr().out


def test_a_name_gives_no_orders_to_a_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url = f"sqlite:///{tmp_path}/other.db"
    asyncio.run(fill(url, entry(TODAY, owner="\x1b[2J")))
    assert main(["spend", "--url", url]) == 0
    assert "\x1b" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ("--by", "colour"),
            "Sums cannot be split by 'colour'. Known: day, month, key, owner, group, model, provider.",
        ),
        (("--since", "tomorrow"), "'tomorrow' is not a time. Write 30d, 12h, 2026-11 or 2026-11-30."),
        (("--url", "mysql://u:geheim@host/x"), "The ledger cannot be in 'mysql'."),
        (("--url", "postgresql://u:geheim@127.0.0.1:1/x"), "The ledger cannot be asked."),
    ],
)
def test_mistakes_are_told(
    config: Path, arguments: tuple[str, ...], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert spend(config, *arguments) == 1
    told: Any = capsys.readouterr()
    assert sentence in told.err
    assert "geheim" not in told.err


def test_without_a_database_it_says_where_to_name_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("XROUTER_CONFIG", raising=False)
    assert main(["spend"]) == 1
    assert "There is no ledger. Name its database with --url" in capsys.readouterr().err


def test_the_tables_of_postgresql_are_made_on_demand(postgres_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["spend", "--url", postgres_url]) == 1
    assert "Run: xrouter spend --migrate" in capsys.readouterr().err
    assert main(["spend", "--url", postgres_url, "--migrate"]) == 0
    assert main(["spend", "--url", postgres_url]) == 0
