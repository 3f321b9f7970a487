"""`xrouter explain`, as a function: it sends nothing, so there is nothing to listen to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from xrouter_asgi.cli.main import main

SETTINGS = """
[providers.up]
kind = "openai"
base_url = "http://127.0.0.1:1/v1"

[models.assistant]
strategy = "lowest_cost"
targets = [
  { provider = "up", model = "large", price = { input = 4, output = 8 }, capabilities = { context = 1000 } },
  { provider = "up", model = "blind", price = { input = 1, output = 2 }, capabilities = { vision = false } },
  { provider = "up", model = "plain", capabilities = { tools = false, json_schema = false } },
]

[models."local-*"]
targets = ["up/*"]
"""


@pytest.fixture
def config(tmp_path: Path) -> str:
    file = tmp_path / "xrouter.toml"
    file.write_text(SETTINGS)
    return str(file)


def targets(capsys: pytest.CaptureFixture[str], config: str, *arguments: str) -> list[dict[str, Any]]:
    assert main(["explain", "--config", config, "--model", "assistant", "--json", *arguments]) == 0
    candidates: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["candidates"]
    return candidates


def test_it_prints_the_order_and_what_is_passed_over(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "--config", config, "--model", "assistant", "--vision"]) == 0
    first, *rest = capsys.readouterr().out.splitlines()
    assert first.startswith("configuration ")
    assert first.endswith(", strategy lowest_cost")
    assert rest == [
        "",
        "   target    speaks             score",
        "1  up/large  chat, completions  0.004004",
        "2  up/plain  chat, completions",
        "-  up/blind  chat, completions            lacks vision",
    ]


@pytest.mark.parametrize(
    ("argument", "excluded"),
    [
        (["--vision"], {"up/blind": "lacks vision"}),
        (["--tools"], {"up/plain": "lacks tools"}),
        (["--json-schema"], {"up/plain": "lacks json_schema"}),
        (["--tokens", "1001"], {"up/large": "lacks context"}),
        (["--tokens", "1000"], {}),
        ([], {}),
    ],
)
def test_what_a_request_needs_can_be_said(
    config: str, capsys: pytest.CaptureFixture[str], argument: list[str], excluded: dict[str, str]
) -> None:
    told = targets(capsys, config, *argument)
    assert {each["target"]: each["excluded"] for each in told if "excluded" in each} == excluded


def test_a_pattern_is_explained_for_a_name_that_it_matches(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "--config", config, "--model", "local-llama"]) == 0
    assert "1  up/*" in capsys.readouterr().out


def test_a_model_that_is_not_served_is_told_with_the_known_ones(
    config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["explain", "--config", config, "--model", "gpt5"]) == 1
    assert capsys.readouterr().err == "The settings serve no model 'gpt5'. Known: assistant, local-*.\n"


@pytest.mark.parametrize("tokens", ["0", "-1", "many", "10000001"])
def test_a_number_of_tokens_that_is_none_is_refused(
    config: str, capsys: pytest.CaptureFixture[str], tokens: str
) -> None:
    with pytest.raises(SystemExit) as left:
        main(["explain", "--config", config, "--model", "assistant", f"--tokens={tokens}"])
    assert left.value.code == 2
    assert "Write one from 1 to 10000000." in capsys.readouterr().err
