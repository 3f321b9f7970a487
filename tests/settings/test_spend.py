"""Prices and budgets, as settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from xrouter_asgi.context import Usage
from xrouter_asgi.inspection import find_risks
from xrouter_asgi.limits.prices import Price
from xrouter_asgi.settings import Settings, SettingsError

from .reading import mistakes

FILE = """
[[prices]]
target = "echo/a"
input = "1"
output = "1"
[[prices]]
target = "echo/b"
input = "2"
output = "2"
"""
SETTINGS = """
providers.echo.kind = "echo"
[models]
m.targets = ["echo/a", { provider = "echo", model = "c", price = { input = 9, output = "9.5" } }]
n.targets = ["echo/b"]
o.targets = ["echo/other"]
[spend]
prices = "prices.toml"
limit = "20 USD/day"
[[prices]]
target = "echo/b"
input = 3
output = 3
cached = 0
[[prices]]
target = "echo/c"
input = 4
output = 4
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "prices.toml").write_text(FILE)
    return tmp_path


def load(folder: Path, text: str = SETTINGS) -> Settings:
    file = folder / "xrouter.toml"
    file.write_text(text)
    return Settings.from_file(file, environment={})


def test_a_table_counts_more_than_the_file_and_the_price_of_a_target_more_than_both(folder: Path) -> None:
    prices = load(folder).price_list()
    assert prices.of("echo/a") == Price(1, 1)
    assert prices.of("echo/b") == Price(3, 3, cached=0)
    assert prices.of("echo/c") == Price(9, "9.5")
    assert prices.most("m") == Price(9, "9.5")
    assert prices.cost("echo/b", Usage(10, 0, 10)) == 0


def test_limits_and_budgets_stand_together(folder: Path) -> None:
    limits = load(folder, SETTINGS + '[rate_limit]\nlimit = "60/minute; 5 USD/hour"').limits
    assert limits is not None
    assert limits.limit == ("60/minute; 5 USD/hour", "20 USD/day")
    assert load(folder, 'providers.echo.kind = "echo"').limits is None


def test_it_is_said_beforehand_what_cannot_be_used_within_a_budget(folder: Path) -> None:
    assert list(find_risks(load(folder))) == [
        "Of the model 'o' no price is known for echo/other: within a budget it is refused."
    ]
    passed_over = load(folder, SETTINGS.replace('["echo/b"]', '["echo/b", "echo/d"]'))
    assert "Of the model 'n' no price is known for echo/d: within a budget these targets are passed over." in list(
        find_risks(passed_over)
    )
    unlimited = load(folder, SETTINGS.replace('limit = "20 USD/day"', ""))
    assert list(find_risks(unlimited)) == []


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ('spend.currency = "rub"', "spend.currency is 'rub'. Write the three letters of a currency, such as \"USD\"."),
        (
            'spend.timezone = "Mars/Olympus"',
            "spend.timezone is 'Mars/Olympus', which this machine does not know. Write",
        ),
        ("spend.rates = { USD = 0 }", "spend.rates.USD is 0. It should be greater than 0."),
        ('spend.prices = "none.toml"', "spend.prices names 'none.toml', which does not exist. Write it with: xrouter"),
        (
            'spend.limit = "20 RUB/day"',
            'spend.limit counts RUB, and the prices are in USD. Write USD, or [spend] currency = "RUB".',
        ),
        (
            'spend.currency = "EUR"\nrate_limit.models.bird = "20 USD/day"',
            "rate_limit.models.bird counts USD, and the prices are in EUR.",
        ),
        (
            'spend.limit = "20 USD/day"\nrate_limit.limit = "30 USD/day"',
            "spend.limit cannot be used besides [rate_limit]: Two of these limits are of the same kind: 30 USD per",
        ),
        ('spend.limit = "20 dollars/day"', "spend.limit cannot be used: The limit '20 dollars/day' cannot be read."),
        ('prices = [{ target = "a/b", input = "much", output = 1 }]', "prices[0].input is 'much'."),
        (
            'prices = [{ target = "a/b", input = -1, output = 1 }]',
            "prices[0].input is -1. It should be greater than or",
        ),
        ('prices = [{ target = "a/b", input = 1 }]', "prices[0].output is missing. Write it."),
    ],
)
def test_a_mistake_is_said_in_words(text: str, mistake: str) -> None:
    found = mistakes(text)
    assert len(found) == 1
    assert found[0].startswith(mistake)


def test_one_target_has_one_price() -> None:
    targets = '[{{ provider = "a", model = "{}", price = {{ input = {}, output = 1 }} }}]'
    text = f"models.one.targets = {targets.format('a', 1)}\nmodels.two.targets = {targets.format('a', 2)}"
    (found,) = mistakes(text)
    assert found == "models.two.targets[0].price differs from another price of 'a/a'. Write one price for a target."


@pytest.mark.parametrize(
    ("content", "mistake"),
    [
        (b"[[prices]]\ntarget = 5", "which has mistakes: prices[0].target is 5."),
        (b"[[prices]\n", "which is not TOML: "),
        (b"\xff", "which is not TOML: "),
    ],
)
def test_a_mistake_in_the_file_of_prices_is_told_with_its_name(folder: Path, content: bytes, mistake: str) -> None:
    (folder / "prices.toml").write_bytes(content)
    with pytest.raises(SettingsError) as refused:
        load(folder)
    assert f"spend.prices names 'prices.toml', {mistake}" in str(refused.value)


def test_a_folder_is_no_file_of_prices(folder: Path) -> None:
    with pytest.raises(SettingsError, match=r"names '\.', which cannot be read: Is a directory"):
        load(folder, SETTINGS.replace("prices.toml", "."))


def test_a_reload_takes_over_prices_and_no_currency(folder: Path) -> None:
    old = load(folder)
    (folder / "prices.toml").write_text(FILE.replace('"1"', '"7"'))
    newer = load(
        folder, SETTINGS.replace("input = 4", "input = 5").replace("[spend]", '[spend]\ntimezone = "Asia/Omsk"')
    )
    new = old.reloaded(newer)
    assert new.price_list().of("echo/a") == Price(7, 7)
    assert new.spend is not None
    assert new.spend.timezone == "UTC"
    without = old.reloaded(load(folder, 'providers.echo.kind = "echo"'))
    assert without.spend == old.spend
