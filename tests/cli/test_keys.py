"""`xrouter keys`: what it does to a database, what it says and what it refuses."""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import os
import re
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from xrouter_asgi.cli.keys import arguments, command
from xrouter_asgi.cli.keys import text as overview
from xrouter_asgi.cli.main import main
from xrouter_asgi.keys import APIKey, AuditEntry, CachedKeys, Hasher, KeySpec, SQLKeyStore, new_secret
from xrouter_asgi.settings.environment import KEYS_PEPPER, KEYS_URL

NOW = datetime(2025, 3, 1, 12, tzinfo=UTC)
PEPPER = "p" * 32
THEIRS = "sk-0123456789abcdef0123456789abcdef"
OTHERS = "sk-proj-Zz3dEf6hIj9lMn2pQr5tUv8xAb"


@pytest.fixture(autouse=True)
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("XROUTER_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv(KEYS_URL, f"sqlite:///{tmp_path}/keys.db")
    monkeypatch.setenv(KEYS_PEPPER, PEPPER)
    return f"sqlite:///{tmp_path}/keys.db"


class Keys:
    """Runs `xrouter keys` inside this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self.capsys, self.monkeypatch = capsys, monkeypatch

    def __call__(self, *arguments: str, stdin: str = "", code: int = 0) -> str:
        """What it says: standard output, or standard error if it fails."""
        self.monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        assert main(["keys", *arguments]) == code
        out, err = self.capsys.readouterr()
        self.aside = err
        return err if code else out

    def json(self, *arguments: str, stdin: str = "") -> Any:
        return json.loads(self(*arguments, "--json", stdin=stdin))


@pytest.fixture
def keys(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Keys:
    return Keys(capsys, monkeypatch)


def opens(url: str, secret: str, *, imported: bool = False, pepper: str = PEPPER) -> str | None:
    """The id of the key that the secret opens, for a server with this pepper."""

    async def check() -> str | None:
        checked = CachedKeys(SQLKeyStore(url, imported=imported), hasher=Hasher.parse(pepper))
        key = await checked.check(secret)
        await checked.aclose()
        return None if key is None else key.id

    return asyncio.run(check())


def test_a_key_lives_from_the_first_command_to_the_last(url: str, keys: Keys) -> None:
    """A file that does not exist yet, a key, another secret, and its end."""

    def run(*arguments: str) -> str:
        said = keys(*arguments)
        assert keys.aside == ""
        return said

    made = run("create", "--name", "Ann's laptop", "--owner", "ann", "--expires", "90d", "--model", "gpt-*")
    (secret,), (id,) = re.findall(r"xr_live_\w{38}", made), re.findall(r"Key (key_\w{8}) is made\.", made)
    assert made.count(secret) == 1
    assert "cannot be shown again" in made
    assert opens(url, secret) == id
    listed = run("list")
    assert id in listed
    assert "Ann's laptop" in listed
    assert secret not in listed
    new = json.loads(run("rotate", id, "--overlap", "0", "--json"))["secret"]
    assert [opens(url, each) for each in (secret, new)] == [None, id]
    assert "revoked" in run("revoke", id, "--reason", "lost")
    assert opens(url, new) is None
    shown = run("show", id)
    assert re.findall(r"UTC  (\w+) ", shown) == ["create", "rotate", "revoke"]
    assert "lost" in shown
    assert not re.search(r"xr_live_", shown)


def test_what_is_asked_for_is_what_is_made(keys: Keys) -> None:
    made = keys.json(
        *("create", "--kind", "test", "--name", "Бот", "--owner", "ci", "--scope", "chat", "--scope", "models"),
        *("--model", "a", "--model", "b*", "--limit", "60/minute; 20 USD/day", "--limit", "8 parallel"),
        *("--not-before", "2999-01-01", "--expires", "2999-02-01T10:00+03:00"),
    )
    assert made.pop("secret").startswith("xr_test_")
    id, created = made.pop("id"), made.pop("created_at")
    assert made == {
        "name": "Бот",
        "owner": "ci",
        "kind": "test",
        "state": "waiting",
        "not_before": "2999-01-01T00:00:00+00:00",
        "expires_at": "2999-02-01T07:00:00+00:00",
        "last_used_at": None,
        "scopes": ["chat", "models"],
        "models": ["a", "b*"],
        "limits": ["60/minute; 20 USD/day", "8 parallel"],
    }
    assert keys.json("list") == [made | {"id": id, "created_at": created}]
    assert keys.json("list", "--owner", "nobody") == []
    assert keys("list", "--owner", "nobody") == "There are no keys.\n"


def test_the_history_is_there_for_scripts(keys: Keys) -> None:
    id = keys.json("create")["id"]
    keys.json("rotate", id, "--expires", "2999-01-01")
    keys.json("revoke", id, "--reason", "lost")
    create, rotate, revoke = keys.json("show", id)["history"]
    assert [entry["action"] for entry in (create, rotate, revoke)] == ["create", "rotate", "revoke"]
    assert (rotate["before"]["expires_at"], rotate["after"]["expires_at"]) == (None, "2999-01-01T00:00:00+00:00")
    assert revoke["reason"] == "lost"
    assert {entry["by"] for entry in (create, rotate, revoke)} == {command._user()}


def test_without_a_pepper_a_key_is_made_and_the_command_says_what_that_means(
    keys: Keys, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = keys.json("create")
    assert keys.aside == ""
    assert opens(url, made["secret"], pepper="") is None
    monkeypatch.delenv(KEYS_PEPPER)
    made = keys.json("create")
    assert "It is kept as plain SHA-256. With a pepper, here and at the server" in keys.aside
    assert opens(url, made["secret"], pepper="") == made["id"]


def test_keys_of_another_gateway_are_read_from_standard_input(keys: Keys, url: str) -> None:
    lines = [
        THEIRS,
        "",
        json.dumps({"secret": OTHERS, "name": "crawler", "models": ["a*"], "scopes": ["chat"], "limits": ["1/minute"]}),
    ]
    one, other = keys.json("import", "--owner", "ann", "--name", "old", stdin="\n".join(lines))
    assert (one["name"], one["owner"], one["kind"], one["models"]) == ("old", "ann", "imported", [])
    assert (other["name"], other["owner"], other["models"], other["scopes"]) == ("crawler", "ann", ["a*"], ["chat"])
    assert [opens(url, secret, imported=True) for secret in (THEIRS, OTHERS)] == [one["id"], other["id"]]
    assert opens(url, THEIRS) is None
    again = keys("import", stdin=f"{THEIRS}\n{THEIRS[:-1]}e\n")
    assert again.startswith("Imported: 1. There already: 1. Their server needs imported = true in [keys].\n")
    assert keys("import", stdin=THEIRS) == "Imported: 0. There already: 1.\n"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("hunter2-hunter2", "its secret has less than 128 bits"),
        ("{", "it is no JSON object."),
        ("{}", 'it has no text "secret".'),
        ('{"secret": 7}', 'it has no text "secret".'),
        (
            json.dumps({"secret": OTHERS, "admin": True}),
            "'admin' is unknown. Known: limits, models, name, owner, scopes.",
        ),
        (json.dumps({"secret": OTHERS, "models": "a"}), "'models' is not a list of texts."),
        (json.dumps({"secret": OTHERS, "models": [1]}), "'models' is not a list of texts."),
        (json.dumps({"secret": OTHERS, "name": None}), "'name' is not a text."),
        (json.dumps({"secret": OTHERS, "models": ["**"]}), "Model '**' is no name"),
        (json.dumps({"secret": OTHERS, "limits": ["often"]}), "The limit 'often' cannot be read."),
        (json.dumps({"secret": OTHERS, "scopes": ["/*"]}), "Scope '/*' is no lower-case word"),
    ],
)
def test_one_line_that_is_wrong_imports_nothing_and_is_not_shown(keys: Keys, line: str, says: str) -> None:
    said = keys("import", stdin=f"{THEIRS}\n\n{line}\n", code=1)
    assert said.startswith(f"Line 3: {says}")
    assert said.endswith("Nothing was imported.\n")
    assert OTHERS not in said
    assert "hunter2" not in said
    assert keys.json("list") == []


def test_migrating_says_that_it_is_done(keys: Keys) -> None:
    assert keys("migrate") == "The key tables are up to date.\n"
    assert keys.json("migrate") == {"migrated": True}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("show", "key_nope"), "No key has the id 'key_nope'. See: xrouter keys list\n"),
        (("rotate", "key_nope"), "No key has the id 'key_nope'"),
        (("list", "--url", "mysql://u:geheim@host/x"), "Keys cannot be kept in 'mysql'."),
        (
            ("list", "--url", "sqlite:////no/such/folder/keys.db"),
            "The key store cannot be asked. FileNotFoundError: ",
        ),
        (("list", "--url", "postgresql://u:geheim@127.0.0.1:1/x"), "The key store cannot be asked. "),
        (("create", "--scope", "/*"), "Scope '/*' is no lower-case word"),
        (("create", "--expires", "1d", "--not-before", "2d"), "The key would end at "),
    ],
)
def test_what_the_user_can_mend_is_one_sentence_and_code_1(keys: Keys, arguments: tuple[str, ...], says: str) -> None:
    said = keys(*arguments, code=1)
    assert said.startswith(says)
    assert said.count("\n") == 1
    assert "geheim" not in said


def test_without_a_database_the_command_says_how_to_name_one(keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEYS_URL)
    assert keys("list", code=1).startswith("There is no database. Name it with --url or $XROUTER_KEYS_URL")


def test_the_settings_name_the_database_and_the_pepper_where_the_environment_does_not(
    keys: Keys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "xrouter.toml").write_text('[keys]\nurl = "sqlite:///other.db"\npepper = "env:OTHER_PEPPER"\n')
    monkeypatch.delenv(KEYS_URL)
    monkeypatch.setenv("OTHER_PEPPER", "q" * 32)
    made = keys.json("create")
    assert opens(f"sqlite:///{tmp_path}/other.db", made["secret"], pepper="q" * 32) == made["id"]


def test_a_pepper_that_is_too_short_is_refused_without_showing_it(keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEYS_PEPPER, "hunter2")
    assert keys("list", code=1) == "Pepper 1 has 7 characters. Take 32 or more: openssl rand -hex 32\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("create", "--limit", "often"), "The limit 'often' cannot be read."),
        (("create", "--expires", "soon"), "'soon' is not a time. Write 90d, 2027-01-31"),
        (("create", "--kind", "master"), "invalid choice"),
        (("rotate", "key_1", "--overlap", "long"), "'long' is not a duration. Write 30m, 24h or 90d"),
        (("show",), "the following arguments are required: ID"),
        ((), "the following arguments are required: ACTION"),
    ],
)
def test_what_cannot_be_read_is_usage_and_code_2(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], says: str
) -> None:
    with pytest.raises(SystemExit) as exit:
        main(["keys", *arguments])
    assert exit.value.code == 2
    assert says in capsys.readouterr().err


@pytest.mark.parametrize("action", ["create", "list", "show", "rotate", "revoke", "import", "migrate"])
def test_every_command_has_examples(capsys: pytest.CaptureFixture[str], action: str) -> None:
    with pytest.raises(SystemExit):
        main(["keys", action, "--help"])
    assert f"xrouter keys {action}" in capsys.readouterr().out.partition("examples:")[2]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0), ("45s", 45), ("30m", 1800), ("24h", 86_400), ("90d", 7_776_000), ("36500d", 3_153_600_000)],
)
def test_durations_are_written_with_a_unit(text: str, seconds: float) -> None:
    assert arguments.duration(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "d", "-1d", "1.5h", "36501d", "9999999999d", "1d2h", "١d2"])
def test_other_durations_are_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is not a duration"):
        arguments.duration(text)


def test_a_moment_is_a_duration_from_now_or_a_date() -> None:
    before = datetime.now(UTC)
    assert before + timedelta(days=90) <= arguments.moment("90d") <= datetime.now(UTC) + timedelta(days=90)
    assert arguments.moment("2027-01-31") == datetime(2027, 1, 31, tzinfo=UTC)
    assert arguments.moment("2027-01-31T18:00+03:00") == datetime(2027, 1, 31, 15, tzinfo=UTC)
    with pytest.raises(argparse.ArgumentTypeError, match="is not a duration"):
        arguments.moment("5")


@pytest.mark.parametrize(
    ("key", "state"),
    [
        (APIKey("k", created_at=NOW), "active"),
        (APIKey("k", created_at=NOW, active=False, expires_at=NOW), "revoked"),
        (APIKey("k", created_at=NOW, expires_at=NOW), "expired"),
        (APIKey("k", created_at=NOW, not_before=NOW + timedelta(seconds=1)), "waiting"),
        (APIKey("k", created_at=NOW - timedelta(days=181)), "unused"),
        (APIKey("k", created_at=NOW - timedelta(days=181), last_used_at=NOW - timedelta(days=180)), "active"),
        (APIKey("k", created_at=NOW - timedelta(days=400), not_before=NOW, expires_at=NOW), "expired"),
    ],
)
def test_a_key_is_in_one_state(key: APIKey, state: str) -> None:
    assert overview.state(key, NOW) == state


def test_a_table_shows_days_and_leaves_no_cell_empty() -> None:
    key = APIKey("key_1", created_at=NOW, expires_at=NOW + timedelta(days=1), last_used_at=NOW)
    assert overview.key_table([key], NOW).splitlines() == [
        "id     name  owner  kind  state   expires     last used",
        "key_1  -     -      live  active  2025-03-02  2025-03-01",
    ]


def test_a_key_is_told_with_its_history() -> None:
    key = APIKey("key_1", name="n", owner="o", created_at=NOW, models=("a", "b"), scopes=frozenset({"chat"}))
    entry = AuditEntry(NOW, "ann@host", "create", "key_1")
    text = overview.key_text(key, NOW, [entry])
    for line in (
        "models     a, b",
        "scopes     chat",
        "limits     the general ones",
        "created    2025-03-01 12:00 UTC",
    ):
        assert line in text.splitlines()
    assert re.search(r"2025-03-01 12:00 UTC +create +ann@host", text)


def test_a_user_without_a_name_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise KeyError("uid not found")

    monkeypatch.setattr("getpass.getuser", nobody)
    assert re.fullmatch(r"\d+@.+", command._user())


def test_a_bare_secret_takes_the_grant_of_the_options() -> None:
    grant = KeySpec(name="n")
    secret = new_secret()
    assert arguments.imported(1, secret, grant) == (secret, grant)
