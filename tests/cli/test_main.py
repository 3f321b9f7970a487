"""What `xrouter` says to whoever mistypes, and what every command does."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from xrouter_asgi.cli import main as module
from xrouter_asgi.cli.main import main
from xrouter_asgi.settings import SettingsError, read_env_file

COMMANDS = ("init", "serve", "demo", "chat", "check", "explain", "keys", "run", "completions")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith(("GIGACHAT_", "XROUTER_"))]:
        monkeypatch.delenv(name)
    return tmp_path


def mistyped(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    return capsys.readouterr().err


def test_alone_it_shows_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    said = capsys.readouterr().out
    assert [command for command in COMMANDS if not re.search(rf"^    {command}\s", said, re.MULTILINE)] == []


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ["serv"],
            "xrouter: there is no command 'serv'. Did you mean 'serve'? Known: admin, chat, check,",
        ),
        (["keys", "mak"], "xrouter keys: there is no command 'mak'. Known: create, import, list, migrate,"),
        (["keys", "rotat"], "xrouter keys: there is no command 'rotat'. Did you mean 'rotate'? Known: "),
        (
            ["serve", "--prot", "80"],
            "xrouter serve: there is no '--prot' here. Did you mean '--port'? Known: --config,",
        ),
        (["serve", "--prot=80"], "xrouter serve: there is no '--prot' here. Did you mean '--port'?"),
        (["check", "xrouter.toml"], "xrouter check: there is no 'xrouter.toml' here. Leave it out."),
        (["keys", "create", "--ownr", "me"], "xrouter keys create: there is no '--ownr' here. Did you mean '--owner'?"),
        (["keys", "create", "--kind", "prod"], "xrouter keys create: argument --kind: invalid choice: 'prod'"),
    ],
)
def test_what_was_meant_is_told(arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    said = mistyped(capsys, *arguments)
    assert said.startswith(told), said
    assert re.search(r"^More: xrouter.* --help$", said, re.MULTILINE)


def test_ctrl_c_ends_a_command_without_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "_take_in", interrupted)
    assert main(["check"]) == 130


def test_a_reader_that_leaves_is_no_error() -> None:
    program = "from xrouter_asgi.cli.main import main; import sys; sys.exit(main(['completions', 'bash']))"
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.close()
    _, said = process.communicate()
    assert (said, process.returncode) == (b"", 0)


class TestEnvFile:
    def test_its_variables_hold_where_nothing_else_is_set(
        self, here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(os, "environ", {"GIGACHAT_SCOPE": "GIGACHAT_API_CORP"})
        (here / ".env").write_text("GIGACHAT_CREDENTIALS=YTpi\nGIGACHAT_SCOPE=no-such-scope\n")
        assert main(["check", "--env-file", ".env"]) == 0
        said = capsys.readouterr().out
        assert "settings: the environment: GIGACHAT_CREDENTIALS, GIGACHAT_SCOPE\n" in said

    def test_a_file_that_is_not_read_is_told_when_something_lacks(
        self, here: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (here / ".env").write_text("GIGACHAT_CREDENTIALS=YTpi\n")
        assert main(["check"]) == 1
        assert capsys.readouterr().err.endswith("There is a .env here. To read it: --env-file .env\n")

    @pytest.mark.parametrize("content", ["OTHER=1\n", "no line of such a file\n"])
    def test_a_file_that_would_not_help_is_not_told(
        self, content: str, here: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (here / ".env").write_text(content)
        assert main(["check"]) == 1
        assert "--env-file" not in capsys.readouterr().err

    def test_a_line_may_be_written_in_several_ways(self, here: Path) -> None:
        (here / ".env").write_text(
            "# A comment.\n\nexport A=1\nB = two words # and more\nC='a # b'\nD=\"x=y\" # more\nE=\nF=a#b\n"
        )
        assert read_env_file(here / ".env") == {
            "A": "1", "B": "two words", "C": "a # b", "D": "x=y", "E": "", "F": "a#b"
        }  # fmt: skip

    def test_a_wrong_line_is_told_without_what_it_holds(self, here: Path) -> None:
        (here / ".env").write_text("A=1\nsecret\n=secret\nB='secret\n1A=secret\n")
        with pytest.raises(SettingsError) as caught:
            read_env_file(Path(".env"))
        assert caught.value.problems == tuple(f".env: line {number} is no NAME=VALUE." for number in (2, 3, 4, 5))

    @pytest.mark.parametrize(
        ("content", "reason"), [(None, "No such file or directory"), (b"\xff", "it is not a text")]
    )
    def test_a_file_that_cannot_be_read_is_told(self, here: Path, content: bytes | None, reason: str) -> None:
        if content is not None:
            (here / ".env").write_bytes(content)
        with pytest.raises(SettingsError, match=rf"^\.env cannot be read: {reason}"):
            read_env_file(Path(".env"))


class TestStrays:
    def test_variables_that_the_file_does_not_name_are_told(
        self, here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("GIGACHAT_CREDENTIALS", "YTpi")
        monkeypatch.setenv("GIGACHAT_MODEL", "GigaChat-2")
        (here / "xrouter.toml").write_text(
            'providers.g = { kind = "gigachat", credentials = "env:GIGACHAT_CREDENTIALS" }'
        )
        assert main(["check"]) == 0
        said = capsys.readouterr()
        assert said.out.startswith(f"settings: {here}/xrouter.toml\n")
        told = "GIGACHAT_MODEL of the environment: not read, because xrouter.toml is, and does not name them.\n"
        assert said.err == told

    def test_a_file_beside_the_environment_is_told(
        self, here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("GIGACHAT_CREDENTIALS", "YTpi")
        (here / "gateway.toml").write_text('[providers.echo]\nkind = "echo"')
        (here / "pyproject.toml").write_text("[tool.providers]")
        (here / "other.toml").write_text("[tool]")
        assert main(["check"]) == 0
        assert capsys.readouterr().err.startswith("gateway.toml: not read, because GIGACHAT_… of the environment are")


class TestCompletions:
    """Completed by the shells themselves, where they are installed."""

    @staticmethod
    def run(capsys: pytest.CaptureFixture[str], here: Path, shell: str, script: str) -> str:
        """What a shell says that has read the completions from the file `c`."""
        assert main(["completions", shell]) == 0
        (here / "c").write_text(capsys.readouterr().out)
        command = [shell, {"bash": "--norc", "zsh": "-f", "fish": "-N"}[shell], "-c", script]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True)
        assert done.stderr == ""
        return done.stdout

    @pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash here")
    def test_bash_completes_commands_options_choices_and_files(
        self, here: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (here / "mine.toml").touch()
        lines = {
            "xrouter se": ["serve"],
            "xrouter keys ro": ["rotate"],
            "xrouter serve --log-l": ["--log-level"],
            "xrouter serve --log-level w": ["warning"],
            "xrouter check --live --config m": ["mine.toml"],
            "xrouter keys create --kind t": ["test"],
            "xrouter keys --help l": ["list"],
        }
        script = "source c\n" + "\n".join(
            f"COMP_WORDS=({line}); COMP_CWORD={line.count(' ')}; _xrouter; echo ${{COMPREPLY[@]}}" for line in lines
        )
        assert [line.split() for line in self.run(capsys, here, "bash", script).splitlines()] == [*lines.values()]

    @pytest.mark.skipif(shutil.which("zsh") is None, reason="there is no zsh here")
    def test_zsh_takes_the_script(self, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
        script = "autoload -U compinit && compinit -u -D; source ./c; whence -w _xrouter"
        assert self.run(capsys, here, "zsh", script) == "_xrouter: function\n"

    @pytest.mark.skipif(shutil.which("fish") is None, reason="there is no fish here")
    def test_fish_completes(self, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
        lines = {"xrouter se": "serve", "xrouter keys ro": "rotate", "xrouter serve --log-level w": "warning"}
        script = "source c\n" + "\n".join(f"complete -C '{line}'" for line in lines)
        said = self.run(capsys, here, "fish", script).splitlines()
        assert [line.partition("\t")[0] for line in said] == [*lines.values()]

    def test_the_script_of_fish_has_a_line_for_each_command_and_option(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["completions", "fish"]) == 0
        said = capsys.readouterr().out
        assert [name for name in COMMANDS if f"-a {name} -d " not in said] == []
        assert "-n '__fish_seen_subcommand_from serve' -l config -r -F -d " in said
        assert (
            "-n '__fish_seen_subcommand_from keys; and __fish_seen_subcommand_from create' -l kind -x -a 'live" in said
        )

    def test_that_of_zsh_is_that_of_bash(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["completions", "bash"]) == main(["completions", "zsh"]) == 0
        bash, _, zsh = capsys.readouterr().out.partition("autoload -U +X bashcompinit && bashcompinit\n")
        assert bash == zsh
