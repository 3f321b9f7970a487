"""`xrouter prices update`, with the data that genai-prices brings."""

from __future__ import annotations

import io
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from xrouter_asgi.cli.main import main
from xrouter_asgi.limits.prices import Price
from xrouter_asgi.settings import Settings

SETTINGS = """
[providers.openai]
kind = "openai"
base_url = "https://api.openai.com/v1"
[providers.google]
kind = "openai"
base_url = "https://generativelanguage.googleapis.com/v1beta/openai"
[providers.anthropic]
kind = "openai"
base_url = "https://api.anthropic.com/v1"
[providers.here]
kind = "echo"
[models]
one.targets = ["openai/gpt-4o-mini", "here/echo"]
two.targets = [{ provider = "google", model = "gemini-2.5-pro" }, "openai/gpt-4o-mini", "openai/no-such-model"]
three.targets = ["anthropic/claude-sonnet-4-5"]
"*".targets = ["openai/*"]
[spend]
prices = "prices.toml"
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "xrouter.toml"
    file.write_text(SETTINGS)
    return file


def update(config: Path, *options: str) -> int:
    return main(["prices", "update", "--config", str(config), *options])


def written(config: Path) -> dict[str, Any]:
    return {table["target"]: table for table in tomllib.loads((config.parent / "prices.toml").read_text())["prices"]}


def test_what_is_known_is_written_and_can_be_read(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert update(config, "--yes") == 0
    said = capsys.readouterr()
    assert "No price is known of here/echo, openai/no-such-model. Write it as [[prices]]" in said.err
    assert '+target = "openai/gpt-4o-mini"' in said.out
    mini = written(config)["openai/gpt-4o-mini"]
    assert mini["source"].startswith("genai-prices ")
    assert (mini["date"].year, list(written(config))) == (
        mini["date"].today().year,
        ["openai/gpt-4o-mini", "google/gemini-2.5-pro", "anthropic/claude-sonnet-4-5"],
    )
    prices = Settings.from_file(config, environment={}).price_list()
    assert prices.of("openai/gpt-4o-mini") == Price("0.15", "0.6", cached="0.075")
    gemini, claude = prices.of("google/gemini-2.5-pro"), prices.of("anthropic/claude-sonnet-4-5")
    assert gemini is not None
    assert gemini.above is not None
    assert gemini.above[0] == 200_000
    assert gemini.above[1].input > gemini.input
    assert claude is not None
    assert claude.cache_write is not None
    assert claude.cache_write > claude.input
    assert claude.cache_write_1h == 2 * claude.input


def test_a_second_time_there_is_nothing_to_write(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    update(config, "--yes")
    file = config.parent / "prices.toml"
    file.write_text(file.read_text().replace("date = 20", "date = 19"))  # another day is no other price
    capsys.readouterr()
    assert update(config) == 0
    assert capsys.readouterr().out == f"{file} is up to date.\n"


def test_dollars_become_the_currency_of_the_settings(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config.write_text(SETTINGS + 'currency = "RUB"\n')
    assert update(config, "--yes") == 1
    assert "spend.rates has no USD" in capsys.readouterr().err
    config.write_text(SETTINGS + 'currency = "RUB"\nrates = { USD = 92.5 }\n')
    assert update(config, "--yes") == 0
    assert written(config)["openai/gpt-4o-mini"]["input"] == "13.875"


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("\n", 1), ("no\n", 1)])
def test_it_asks_before_it_writes(config: Path, monkeypatch: pytest.MonkeyPatch, answer: str, code: int) -> None:
    terminal = io.StringIO(answer)
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdin", terminal)
    assert update(config) == code
    assert (config.parent / "prices.toml").exists() == (code == 0)


def test_without_somebody_to_ask_nothing_is_written(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    assert update(config) == 1
    assert "Accept the prices with --yes." in capsys.readouterr().err
    assert not (config.parent / "prices.toml").exists()


@pytest.mark.parametrize(
    ("settings", "mistake"),
    [
        (SETTINGS.replace('prices = "prices.toml"', ""), "spend.prices is missing. Write the name of a file"),
        (SETTINGS + 'currency = "rub"', "spend.currency is 'rub'."),
        (SETTINGS.replace("prices.toml", "."), "cannot be read"),
    ],
)
def test_a_mistake_in_the_settings_is_said(
    config: Path, settings: str, mistake: str, capsys: pytest.CaptureFixture[str]
) -> None:
    config.write_text(settings)
    assert update(config, "--yes") == 1
    assert mistake in capsys.readouterr().err


def test_it_says_what_is_missing(
    tmp_path: Path, config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path / "..")
    monkeypatch.delenv("XROUTER_CONFIG", raising=False)
    assert main(["prices", "update"]) == 1
    assert "There is no settings file. Name one with --config." in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "genai_prices.data_snapshot", None)
    assert update(config) == 1
    assert 'Install it with: pip install "xrouter-asgi[prices]"' in capsys.readouterr().err


def test_a_gateway_that_serves_never_imports_it() -> None:
    program = "import sys, xrouter_asgi.cli.main, xrouter_asgi.standalone; print('genai_prices' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert told.stdout == "False\n"
