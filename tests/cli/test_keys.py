"""`xrouter keys`: what it does to a database, what it says and what it refuses."""

from __future__ import annotations

import argparse
import asyncio
import csv
import io
import json
import os
import re
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests.ledger.entries import entry
from xrouter_asgi.cli.keys import arguments, rows, work
from xrouter_asgi.cli.keys import text as overview
from xrouter_asgi.cli.keys.examples import EXAMPLES
from xrouter_asgi.cli.main import main
from xrouter_asgi.keys import (
    APIKey,
    AuditEntry,
    CachedKeys,
    Hasher,
    KeySpec,
    RedisChanges,
    SQLKeyStore,
    new_secret,
)
from xrouter_asgi.ledger import SQLLedger
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
    assert "suspended" in run("suspend", id, "--reason", "wild")
    assert opens(url, new) is None
    assert "is resumed" in run("resume", id)
    assert opens(url, new) == id
    assert "; 8 parallel" in run("update", id, "--limit", "1/minute; 8 parallel", "--clear", "model")
    assert "revoked" in run("revoke", id, "--reason", "lost")
    assert opens(url, new) is None
    shown = run("show", id)
    assert re.findall(r"UTC  (\w+) ", shown) == ["create", "rotate", "suspend", "resume", "update", "revoke"]
    assert "lost" in shown
    assert not re.search(r"xr_live_", shown)


def test_what_is_asked_for_is_what_is_made(keys: Keys) -> None:
    made = keys.json(
        *("create", "--kind", "test", "--name", "Бот", "--owner", "ci", "--scope", "chat", "--scope", "models"),
        *("--model", "a", "--model", "b*", "--limit", "60/minute; 20 USD/day", "--limit", "8 parallel"),
        *("--group", "qa", "--group", "поиск"),
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
        "groups": ["qa", "поиск"],
    }
    assert keys.json("list") == [made | {"id": id, "created_at": created}]
    assert keys.json("list", "--owner", "nobody") == []
    assert keys("list", "--owner", "nobody") == "There are no keys.\n"


def test_the_history_is_there_for_scripts(keys: Keys) -> None:
    id = keys.json("create")["id"]
    keys.json("rotate", id, "--expires", "2999-01-01", "--reason", "due")
    keys.json("revoke", id, "--reason", "lost")
    create, rotate, revoke = keys.json("show", id)["history"]
    assert [entry["action"] for entry in (create, rotate, revoke)] == ["create", "rotate", "revoke"]
    assert (rotate["before"]["expires_at"], rotate["after"]["expires_at"]) == (None, "2999-01-01T00:00:00+00:00")
    assert [entry["reason"] for entry in (create, rotate, revoke)] == [None, "due", "lost"]
    assert {entry["by"] for entry in (create, rotate, revoke)} == {work.user()}


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
            "'admin' is unknown. Known: groups, limits, models, name, owner, scopes.",
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
        (("list", "--url", "mysql://u:geheim@host/x"), "The key store cannot be in 'mysql'."),
        (
            ("list", "--url", "sqlite:////no/such/folder/keys.db"),
            "The key store cannot be asked. FileNotFoundError: ",
        ),
        (("list", "--url", "postgresql://u:geheim@127.0.0.1:1/x"), "The key store cannot be asked. "),
        (("create", "--scope", "/*"), "Scope '/*' is no lower-case word"),
        (("create", "--limit", "often"), "The limit 'often' cannot be read."),
        (("create", "--owner", ""), "The owner is empty."),
        (("create", "--expires", "2020-01-01"), "The key would end at 2020-01-01T00:00:00+00:00, which is past."),
        (("create", "--from", "no.csv"), "no.csv cannot be read: No such file or directory."),
        (("create", "--output", "no/such/folder"), "no/such/folder cannot be made: No such file or directory."),
        (("update", "key_nope"), "There is nothing to change. Name a field, such as --limit 60/minute"),
        (("update", "key_nope", "--name", "n"), "No key has the id 'key_nope'"),
        (("update", "key_nope", "--owner", "a", "--clear", "owner"), "owner is both set and cleared."),
        (("suspend", "key_nope"), "No key has the id 'key_nope'"),
        (("resume", "key_nope"), "No key has the id 'key_nope'"),
        (("list", "--after", "key_nope"), "No key has the id 'key_nope'"),
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


@pytest.fixture
def in_roubles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Settings with money. Returns the URL of their database."""
    monkeypatch.delenv(KEYS_URL)
    spend = '[spend]\ncurrency = "RUB"\ntimezone = "Europe/Moscow"\n'
    (tmp_path / "xrouter.toml").write_text(f'[keys]\nurl = "sqlite:///keys.db"\n{spend}')
    return f"sqlite:///{tmp_path}/keys.db"


def test_a_limit_in_another_currency_than_the_prices_is_refused(keys: Keys, in_roubles: str) -> None:
    says = "The limit 20 USD per 1 day is not in RUB, as the prices are. Write it in RUB."
    assert keys("create", "--limit", "60/minute; 20 USD/day", code=1) == f"{says}\n"
    id = keys.json("create", "--limit", "20 RUB/day")["id"]
    assert keys("update", id, "--limit", "20 USD/day", code=1) == f"{says}\n"
    line = json.dumps({"secret": OTHERS, "limits": ["20 USD/day"]})
    assert keys("import", stdin=line, code=1) == f"Line 1: {says} Nothing was imported.\n"
    assert f"line 2: {says}" in keys("create", "--from", "-", stdin="limits\n20 USD/day\n", code=1)
    assert [key["limits"] for key in keys.json("list")] == [["20 RUB/day"]]


def test_without_a_table_of_money_prices_are_in_dollars_and_nothing_is_told_of_spending(
    keys: Keys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(KEYS_URL)
    (tmp_path / "xrouter.toml").write_text('[keys]\nurl = "sqlite:///keys.db"\n')
    assert "is not in USD" in keys("create", "--limit", "20 RUB/day", code=1)
    keys("create", "--limit", "20 USD/day")
    assert "spent" not in keys("list")
    assert "spent" not in keys.json("list")[0]


def test_keys_are_listed_with_what_they_have_spent_in_this_month(keys: Keys, in_roubles: str) -> None:
    thrifty, other = keys.json("create", "--name", "thrifty"), keys.json("create", "--name", "other")
    now = datetime.now(ZoneInfo("Europe/Moscow"))
    before = now.replace(day=1, hour=0, minute=0) - timedelta(seconds=61)
    entries = [entry(now, key=other["id"], cost=1_500_000_000), entry(before, key=other["id"], cost=10**12)]

    async def write() -> None:
        ledger = SQLLedger(in_roubles, timezone=ZoneInfo("Europe/Moscow"))
        await ledger.write(entries)
        await ledger.aclose()

    asyncio.run(write())
    head, *lines = keys("list").splitlines()
    assert head.endswith(f"spent in {now:%Y-%m}")
    assert [line.rstrip().endswith(cost) for line, cost in zip(lines, ("  0 RUB", "  1.5 RUB"), strict=True)] == [
        True
    ] * 2
    assert [(key["id"], key["spent"], key["currency"], key["month"]) for key in keys.json("list")] == [
        (thrifty["id"], "0", "RUB", f"{now:%Y-%m}"),
        (other["id"], "1.5", "RUB", f"{now:%Y-%m}"),
    ]


def test_a_ledger_that_is_away_keeps_nobody_from_seeing_the_keys(keys: Keys, in_roubles: str, tmp_path: Path) -> None:
    with (tmp_path / "xrouter.toml").open("a") as settings:
        settings.write('url = "postgresql://u:geheim@127.0.0.1:1/x"\n')
    id = keys.json("create")["id"]
    assert id in keys("list")
    assert keys.aside.startswith("What the keys have spent cannot be asked. ")
    assert "geheim" not in keys.aside


def test_a_pepper_that_is_too_short_is_refused_without_showing_it(keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEYS_PEPPER, "hunter2")
    assert keys("list", code=1) == "Pepper 1 has 7 characters. Take 32 or more: openssl rand -hex 32\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("list", "--page-size", "0"), "'0' is not a number from 1."),
        (("list", "--state", "dead"), "invalid choice"),
        (("update", "key_1", "--clear", "id"), "invalid choice"),
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


@pytest.mark.parametrize("action", EXAMPLES)
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


def test_a_table_shows_days_and_leaves_no_cell_empty() -> None:
    key = APIKey("key_1", created_at=NOW, expires_at=NOW + timedelta(days=1), last_used_at=NOW)
    rich = APIKey("key_2", "n", "o", created_at=NOW, groups=("g", "h"), models=("a", "b"), limits=("1/minute", "9/day"))
    assert overview.key_table([key, rich], NOW).splitlines() == [
        "id     name  owner  groups  kind  state   models  limits           expires     last used",
        "key_1  -     -      -       live  active  all     -                2025-03-02  2025-03-01",
        "key_2  n     o      g, h    live  active  a, b    1/minute; 9/day  -           -",
    ]


def test_a_table_cuts_what_is_longer_than_40_characters() -> None:
    key = APIKey("key_1", created_at=NOW, models=tuple(f"model-{number}" for number in range(9)))
    assert " model-0, model-1, model-2, model-3, mod… " in overview.key_table([key], NOW).splitlines()[1]


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
    assert re.fullmatch(r"\d+@.+", work.user())


def test_a_bare_secret_takes_the_grant_of_the_options() -> None:
    grant = KeySpec(name="n")
    secret = new_secret()
    assert arguments.imported(1, secret, grant, currency=None) == (secret, grant)


def test_an_update_names_what_changes(keys: Keys) -> None:
    made = keys.json("create", "--owner", "ann", "--model", "a", "--limit", "1/minute", "--expires", "90d")
    fields = (
        "--limit",
        "5/minute",
        "--limit",
        "8 parallel",
        "--group",
        "search",
        "--clear",
        "model",
        "--clear",
        "expires",
    )
    changed = keys.json("update", made["id"], *fields, "--reason", "more users")
    del made["secret"]
    assert changed == made | {
        "limits": ["5/minute", "8 parallel"],
        "groups": ["search"],
        "models": [],
        "expires_at": None,
    }
    entry = keys.json("show", made["id"])["history"][-1]
    assert (entry["action"], entry["reason"]) == ("update", "more users")
    assert entry["before"] == {name: made[name] for name in entry["before"]}


def test_a_scope_that_is_probably_a_mistake_is_pointed_out(keys: Keys) -> None:
    made = keys.json("create", "--scope", "caht")
    assert made["scopes"] == ["caht"]
    assert "Did you mean 'chat'?" in keys.aside
    keys.json("update", made["id"], "--scope", "bill")
    assert "Scope 'bill' opens nothing of xrouter" in keys.aside


TEAM = """\
name,owner,groups,models,scopes,limits,expires_at
laptop,ann,research; поиск,GigaChat-2*; gpt-4,chat;models,60/minute; 8 parallel,90d
,,,,,,
"crawler, old",bob,,,,,2999-01-31
"""


def test_the_keys_of_a_file_are_made_and_their_secrets_are_written_once(keys: Keys, url: str, tmp_path: Path) -> None:
    (tmp_path / "team.csv").write_text(TEAM, "utf-8-sig")
    written = keys("create", "--from", "team.csv", "--owner", "team")
    made = list(csv.DictReader(io.StringIO(written)))
    assert [(row["name"], row["owner"]) for row in made] == [("laptop", "ann"), ("", "team"), ("crawler, old", "bob")]
    assert [opens(url, row["secret"]) for row in made] == [row["id"] for row in made]
    assert keys.aside == "Made: 3. Their secrets cannot be shown again: only digests are kept.\n"
    laptop, team, crawler = keys.json("list")
    assert (laptop["groups"], laptop["models"]) == (["research", "поиск"], ["GigaChat-2*", "gpt-4"])
    assert (laptop["scopes"], laptop["limits"]) == (["chat", "models"], ["60/minute", "8 parallel"])
    assert (team["owner"], crawler["expires_at"]) == ("team", "2999-01-31T00:00:00+00:00")


def test_the_secrets_of_a_file_go_to_a_file_that_only_its_owner_can_read(keys: Keys, url: str, tmp_path: Path) -> None:
    (tmp_path / "team.csv").write_text('name;groups\none;a\ntwo;"b;c"\n')
    said = keys("create", "--from", "team.csv", "--output", "secrets.csv")
    assert said.startswith("Made: 2. Their secrets are in secrets.csv, and cannot be shown again.\n")
    file = tmp_path / "secrets.csv"
    assert file.stat().st_mode & 0o777 == 0o600
    secrets = [row["secret"] for row in csv.DictReader(io.StringIO(file.read_text()))]
    assert all(opens(url, secret) for secret in secrets)
    assert not any(secret in said for secret in secrets)
    assert [key["groups"] for key in keys.json("list")] == [["a"], ["b", "c"]]
    # It is never written over.
    assert (
        keys("create", "--output", "secrets.csv", code=1)
        == "secrets.csv cannot be made: File exists. No key was made.\n"
    )
    assert len(keys.json("list")) == 2
    keys.json("create", "--from", "-", "--output", "secrets.json", stdin="name\nthree\n")
    (document,) = json.loads((tmp_path / "secrets.json").read_text())
    assert (document["name"], opens(url, document["secret"])) == ("three", document["id"])


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (
            "name,limits,scopes\na,often,\nb,,\nc,,/*\n",
            ["line 2: The limit 'often' cannot be read.", "line 4: Scope '/*' is no lower-case word"],
        ),
        (
            "name,expires_at\na,2020-01-01\nb,soon\n",
            ["line 2: The key would end at 2020", "line 3: 'soon' is not a time."],
        ),
        ("name,admin\na,yes\n", ["line 1: column 'admin' is unknown. The first line names columns: name, owner"]),
        ("name,name\na,b\n", ["line 1: a column is missing, or there twice."]),
        ("name,owner\na\nb,c,d\n", ["line 2: it has not as many cells", "line 3: it has not as many cells"]),
        ('name,owner\n"a\n', ["line 2: unexpected end of data"]),
        ("name\n", ["it holds no row below the header."]),
        ("", ["line 1: a column is missing, or there twice."]),
        ("name\n" + "x\n" * 4, ["line 5: more than 3 keys. Take several files."]),
        ("owner\n" + '" a\x07"\n' * 3, ["line 2: ", "line 3: ", "and 1 more."]),
    ],
)
def test_one_mistake_in_a_file_makes_no_key_and_every_mistake_is_told(
    keys: Keys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, lines: list[str]
) -> None:
    monkeypatch.setattr(rows, "MAX_ROWS", 3)
    monkeypatch.setattr(rows, "MAX_TOLD", 2)
    (tmp_path / "team.csv").write_text(text)
    said = keys("create", "--from", "team.csv", "--output", "secrets.csv", code=1).splitlines()
    assert said[0] == "team.csv cannot be used, and no key was made:"
    assert [line.strip()[: len(start)] for line, start in zip(said[1:], lines, strict=True)] == lines
    assert not (tmp_path / "secrets.csv").exists()
    assert keys.json("list") == []


def test_a_file_that_is_too_large_or_no_text_is_refused(
    keys: Keys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "team.csv").write_bytes("name\nЖ\n".encode("cp1251"))
    assert keys("create", "--from", "team.csv", code=1) == "team.csv is not a text in UTF-8. Save it as CSV in UTF-8.\n"
    monkeypatch.setattr(rows, "MAX_BYTES", 6)
    assert "has more than" in keys("create", "--from", "team.csv", code=1)
    assert "has more than" in keys("create", "--from", "-", stdin="name\nabc\n", code=1)


def test_keys_whose_secrets_cannot_be_written_are_revoked(
    keys: Keys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    said = keys("create", "--output", "secrets.csv", code=1)
    assert said == "The secrets cannot be written: No space left on device. Their keys are revoked again.\n"
    assert [key["state"] for key in keys.json("list")] == ["revoked"]
    assert not (tmp_path / "secrets.csv").exists()


def test_the_list_has_filters_and_pages(keys: Keys) -> None:
    text = "name,owner,groups\nlaptop,ann,search\nserver,ann,\nLaptop 2,bob,search;research\n"
    keys("create", "--from", "-", stdin=text)
    one, two, three = [key["id"] for key in keys.json("list")]
    keys("suspend", two)
    for options, found in (
        (("--owner", "ann"), [one, two]),
        (("--group", "search"), [one, three]),
        (("--name", "LAP"), [one, three]),
        (("--state", "suspended"), [two]),
        (("--state", "active", "--state", "suspended", "--owner", "ann"), [one, two]),
        (("--after", one), [two, three]),
    ):
        assert [key["id"] for key in keys.json("list", *options)] == found
        assert keys.aside == ""
    assert [key["id"] for key in keys.json("list", "--group", "search", "--page-size", "1")] == [one]
    assert keys.aside == f"More keys follow: --after {one}\n"
    page = keys.json("list", "--group", "search", "--page-size", "1", "--after", one)
    assert ([key["id"] for key in page], keys.aside) == ([three], "")


def test_servers_are_told_through_the_redis_of_the_settings(
    keys: Keys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []

    async def tell(self: RedisChanges, id: str, /) -> None:
        told.append(id)

    monkeypatch.setattr(RedisChanges, "tell", tell)
    monkeypatch.delenv(KEYS_URL)
    settings = tmp_path / "xrouter.toml"
    settings.write_text('[keys]\nurl = "sqlite:///other.db"\n[rate_limit]\nstorage = "redis://h/"\n')
    id = keys.json("create")["id"]
    keys("suspend", id)
    assert told == [id]
    settings.write_text('[keys]\nurl = "sqlite:///other.db"\n[rate_limit]\nstorage = "env:NOT_HERE"\n')
    keys("resume", id)
    assert keys.aside.startswith("Servers may notice changes only after 5 seconds. ")
    assert "NOT_HERE" in keys.aside
    assert told == [id]
