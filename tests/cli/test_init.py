"""`xrouter init`: a first file of settings."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest
import trustme

from xrouter_asgi.cli.main import main
from xrouter_asgi.cli.starter import KINDS
from xrouter_asgi.providers.presets import PRESETS
from xrouter_asgi.settings import Settings

SECRETS = {
    **{row.key: "the-key" for row in PRESETS.values() if row.key},
    "GIGACHAT_CREDENTIALS": "YTpi",
    "OPENAI_API_KEY": "the-key",
    "ANTHROPIC_API_KEY": "the-key",
    "YANDEX_FOLDER_ID": "b1g",
}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, and nobody at the terminal."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False)
    return tmp_path


def answers(monkeypatch: pytest.MonkeyPatch, *lines: str) -> list[str]:
    """Sit at the terminal and write these lines. Returns what one is shown before each."""
    left, asked = list(lines), list[str]()

    def write(prompt: str) -> str:
        asked.append(prompt)
        return left.pop(0)

    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr("builtins.input", write)
    return asked


@pytest.mark.parametrize("keys", ["--keys", "--no-keys"])
@pytest.mark.parametrize("kind", KINDS)
def test_whatever_it_writes_can_be_used(kind: str, keys: str, here: Path) -> None:
    assert main(["init", "--provider", kind, keys]) == 0
    settings = Settings.from_file("xrouter.toml", environment=SECRETS)
    assert list(settings.providers) == [kind]
    assert "*" in settings.models
    assert (settings.keys is not None) == (keys == "--keys")


def test_off_a_terminal_nothing_is_asked(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init"]) == 0
    settings = Settings.from_file("xrouter.toml", environment=SECRETS)
    assert [str(target) for target in settings.models["assistant"].targets] == ["gigachat/GigaChat-2-Pro"]
    told = capsys.readouterr().err
    for step in (
        "export GIGACHAT_CREDENTIALS=",
        "curl -fsSO https://gu-st.ru/",
        "xrouter check --live",
        "xrouter serve",
    ):
        assert step in told


def test_on_a_terminal_it_asks_three_questions(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = answers(monkeypatch, "olama", "ollama", "qwen3:8b", "keys")
    assert main(["init"]) == 0
    assert len(asked) == 4
    assert "'olama' is none of them." in capsys.readouterr().err
    settings = Settings.from_file("xrouter.toml")
    assert [str(target) for target in settings.models["assistant"].targets] == ["ollama/qwen3:8b"]
    assert settings.keys is not None


def test_what_an_option_says_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    assert answers(monkeypatch, "") == []
    assert main(["init", "--provider", "echo", "--no-keys"]) == 0
    assert "assistant" in Settings.from_file("xrouter.toml").models


def test_the_pepper_is_for_this_user_alone_and_is_kept(here: Path) -> None:
    assert main(["init", "--provider", "echo", "--keys"]) == 0
    pepper = here / "xrouter.pepper"
    made = pepper.read_text()
    assert len(made.strip()) == 64
    if os.name == "posix":
        assert stat.S_IMODE(pepper.stat().st_mode) == 0o600
    assert main(["init", "--provider", "echo", "--keys", "--force"]) == 0
    assert pepper.read_text() == made


def test_a_certificate_that_lies_there_is_trusted(here: Path) -> None:
    trustme.CA().cert_pem.write_to_path(here / "russian_trusted_root_ca_pem.crt")
    assert main(["init", "--provider", "gigachat"]) == 0
    settings = Settings.from_file("xrouter.toml", environment=SECRETS)
    assert "russian_trusted_root_ca_pem.crt" in getattr(settings.providers["gigachat"], "trusted")  # noqa: B009


def test_a_file_that_is_there_is_left_alone(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "mine.toml").write_text("mine")
    assert main(["init", "--config", "mine.toml"]) == 1
    assert capsys.readouterr().err == (
        "mine.toml is there already. Write another one with --config, or over it with --force.\n"
    )
    assert (here / "mine.toml").read_text() == "mine"


def test_a_folder_that_is_not_there_is_told(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", "--config", "conf/xrouter.toml"]) == 1
    assert capsys.readouterr().err == f"There is no folder '{here}/conf'.\n"


def test_the_steps_name_another_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", "--provider", "echo", "--keys", "--config", "mine.toml"]) == 0
    told = capsys.readouterr().err
    assert "xrouter keys create --config mine.toml --owner me" in told
    assert "xrouter serve --config mine.toml" in told
