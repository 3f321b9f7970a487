"""`xrouter keys create | list | show | rotate | revoke | import | migrate`: the keys of a database.

It writes to the store itself, so the first key needs no other key; there is no default key and no master key.
"""

from __future__ import annotations

import argparse
import asyncio
import getpass
import json
import os
import platform
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from ...errors import KeyStoreUnavailable
from ...keys import APIKey, Hasher, Issued, Issuer, KeyExists, KeySpec, UnknownKey
from ...keys.base import utc_now
from ...keys.issuer import OVERLAP
from ...keys.secret import KINDS
from ...settings import load_keys
from ...settings.environment import KEYS_PEPPER as PEPPER
from ...settings.environment import KEYS_URL as URL
from ..base import Commands, add_command, fail, say
from .arguments import duration, imported, limit, moment
from .text import history_document, key_document, key_table, key_text

if TYPE_CHECKING:
    from ...keys import SQLKeyStore

_EXAMPLES = {
    "create": """\
examples:
  xrouter keys create --url sqlite:///keys.db --name "Ann's laptop" --owner ann --expires 90d
  xrouter keys create --owner crawler --model 'GigaChat-2*' --scope chat --limit 60/minute --limit '100000 tokens/day'
  SECRET=$(xrouter keys create --owner ci --kind test --json | jq -r .secret)""",
    "list": """\
examples:
  xrouter keys list
  xrouter keys list --owner ann --json""",
    "show": """\
examples:
  xrouter keys show key_4fJ2b9Qx          with everything that was done to it""",
    "rotate": """\
examples:
  xrouter keys rotate key_4fJ2b9Qx                 the old secret stays good for 24 hours
  xrouter keys rotate key_4fJ2b9Qx --overlap 0     it ends now
  xrouter keys rotate key_4fJ2b9Qx --expires 90d   and the key gets another end""",
    "revoke": """\
examples:
  xrouter keys revoke key_4fJ2b9Qx --reason 'laptop lost'""",
    "import": """\
examples:
  xrouter keys import --owner ann < secrets.txt
  echo '{"secret": "sk-…", "name": "crawler", "owner": "ann", "models": ["GigaChat*"]}' | xrouter keys import

Each line is a secret or a JSON object of that form; what an object leaves out comes from the options. Secrets with less
than 128 bits are refused, and nothing is imported then. Those that are there already are left as they are.""",
    "migrate": """\
examples:
  xrouter keys migrate --url postgresql://xrouter@db.example/xrouter

SQLite is migrated when it is first used.""",
}


@dataclass(frozen=True, slots=True)
class _Work:
    store: SQLKeyStore
    issuer: Issuer
    hasher: Hasher
    options: argparse.Namespace

    def tell(self, text: str, document: object) -> None:
        """Print on standard output: words for people, or JSON for scripts."""
        print(json.dumps(document, ensure_ascii=False, default=_in_json) if self.options.json else text)


def _in_json(value: datetime | frozenset[str]) -> object:
    return value.isoformat() if isinstance(value, datetime) else sorted(value)


_Act: TypeAlias = Callable[[_Work], Awaitable[None]]


def add_keys_command(commands: Commands, environment: Mapping[str, str]) -> None:
    """Add `keys` to the commands of `xrouter`. The environment may name the database and the pepper."""
    text = "Make, list, rotate and revoke the API keys of a database."
    epilog = (
        f"environment, instead of a settings file with [keys]:\n  {URL}     the database\n"
        f"  {PEPPER}  what keys are digested with; as the server has it"
    )
    raw = argparse.RawDescriptionHelpFormatter
    keys = commands.add_parser("keys", help=text, description=text, epilog=epilog, formatter_class=raw)
    actions = keys.add_subparsers(required=True, metavar="ACTION")

    def action(name: str, act: _Act, text: str) -> argparse.ArgumentParser:
        parser = add_command(actions, name, partial(_run, act, environment), text, epilog=_EXAMPLES[name])
        parser.add_argument(
            "--url",
            help=f"sqlite:///keys.db or postgresql://user@host/name; default: ${URL}, else [keys] of the settings",
        )
        parser.add_argument("--config", metavar="FILE", help="settings; default: $XROUTER_CONFIG, else ./xrouter.toml")
        parser.add_argument("--json", action="store_true", help="write JSON, for scripts")
        return parser

    create = action("create", _create, "Make a key, and show its secret once.")
    create.add_argument("--kind", choices=KINDS, default="live", help="what its secret starts with; default: live")
    _add_spec(create)
    _add_spec(action("import", _import, "Take over keys of another gateway, read from standard input."))
    listing = action("list", _list, "List the keys, oldest first.")
    listing.add_argument("--owner", help="only the keys of this one")
    show = action("show", _show, "Show a key and its history.")
    rotate = action("rotate", _rotate, "Give a key another secret; the old one stays good for a while.")
    revoke = action("revoke", _revoke, "End a key for good. Servers refuse it within 5 seconds.")
    for each in (show, rotate, revoke):
        each.add_argument("id", metavar="ID", help="of the key: key_ and 8 characters")
    rotate.add_argument("--overlap", type=duration, default=OVERLAP, help="how long the old one is good; default: 24h")
    rotate.add_argument("--expires", type=moment, metavar="WHEN", help="another end for the key, as 90d or 2027-01-31")
    revoke.add_argument("--reason", help="why, for the audit")
    action("migrate", _migrate, "Make the tables in the database, or bring them up to date.")


def _add_spec(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--name", default="", help="what people call it")
    parser.add_argument("--owner", help="whom it belongs to")
    several = partial(parser.add_argument, action="append", default=[])
    several("--model", help="a model or pattern it may use; default: all")
    several("--scope", help="chat, embeddings, models or your own; default: all")
    several("--limit", type=limit, help="such as 60/minute or '60 rpm; 20 USD/day'; default: the server's")
    parser.add_argument("--not-before", type=moment, metavar="WHEN", help="when it begins to be good")
    parser.add_argument("--expires", type=moment, metavar="WHEN", help="when it ends, as 90d or 2027-01-31")


def _run(act: _Act, environment: Mapping[str, str], options: argparse.Namespace) -> int:
    try:
        asyncio.run(_open(act, options, *_database(options, environment)))
    except KeyStoreUnavailable as error:
        return fail(f"The key store cannot be asked. {error.detail or error.message}")
    except (ValueError, UnknownKey, ModuleNotFoundError) as error:
        return fail(str(error))
    return 0


def _database(options: argparse.Namespace, environment: Mapping[str, str]) -> tuple[str, Hasher]:
    """The URL of the database and the hasher of its keys: both from the environment, or both from the settings."""
    url = options.url or (None if options.config else environment.get(URL))
    if url:
        return url, Hasher.parse(environment.get(PEPPER, ""))
    settings = load_keys(options.config, environment=environment)
    if settings is None:
        how = f"Name it with --url or ${URL}, such as sqlite:///keys.db, or in [keys] of the settings."
        raise ValueError(f"There is no database. {how}")
    return settings.url.get_secret_value(), settings.hasher


async def _open(act: _Act, options: argparse.Namespace, url: str, hasher: Hasher) -> None:
    from ...keys import SQLKeyStore

    store = SQLKeyStore(url)
    try:
        await act(_Work(store, Issuer(store, by=_user(), hasher=hasher), hasher, options))
    finally:
        await store.aclose()


async def _create(work: _Work) -> None:
    issued = await work.issuer.create(_spec(work.options), kind=work.options.kind)
    _show_once(work, issued, f"Key {issued.key.id} is made.")


async def _rotate(work: _Work) -> None:
    options = work.options
    issued = await work.issuer.rotate(options.id, overlap=options.overlap, expires_at=options.expires)
    _show_once(work, issued, f"Key {issued.key.id} has another secret.")


def _show_once(work: _Work, issued: Issued, what: str) -> None:
    key, now = issued.key, utc_now()
    text = f"{what} Copy its secret now. Only a digest is kept, so it cannot be shown again.\n\n  {issued.secret}"
    work.tell(f"{text}\n\n{key_text(key, now)}", key_document(key, now) | {"secret": issued.secret})
    if work.hasher.version == 0:
        say("It is kept as plain SHA-256. With a pepper, here and at the server, it would be HMAC-SHA-256.")


async def _list(work: _Work) -> None:
    keys, now = await work.store.list(owner=work.options.owner), utc_now()
    work.tell(key_table(keys, now) if keys else "There are no keys.", [key_document(key, now) for key in keys])


async def _show(work: _Work) -> None:
    key, now = await work.store.get(work.options.id), utc_now()
    history = await work.store.audit(key.id)
    work.tell(key_text(key, now, history), key_document(key, now) | {"history": history_document(history)})


async def _revoke(work: _Work) -> None:
    key = await work.issuer.revoke(work.options.id, reason=work.options.reason)
    work.tell(f"Key {key.id} is revoked. Servers refuse it within 5 seconds.", key_document(key, utc_now()))


async def _import(work: _Work) -> None:
    spec, now = _spec(work.options), utc_now()
    # Read every line before keeping the first key.
    pairs = [imported(number, line.strip(), spec) for number, line in enumerate(sys.stdin, start=1) if line.strip()]
    made: list[APIKey] = []
    for secret, each in pairs:
        try:
            made.append(await work.issuer.adopt(secret, each))
        except KeyExists:
            continue
    text = f"Imported: {len(made)}. There already: {len(pairs) - len(made)}."
    if made:
        text += f" Their server needs imported = true in [keys].\n\n{key_table(made, now)}"
    work.tell(text, [key_document(key, now) for key in made])


async def _migrate(work: _Work) -> None:
    await work.store.migrate()
    work.tell("The key tables are up to date.", {"migrated": True})


def _spec(options: argparse.Namespace) -> KeySpec:
    return KeySpec(
        name=options.name,
        owner=options.owner,
        not_before=options.not_before,
        expires_at=options.expires,
        scopes=frozenset(options.scope),
        models=tuple(options.model),
        limits=tuple(options.limit),
    )


def _user() -> str:
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # A container may run as a number without a name.
        name = str(os.getuid())
    return f"{name}@{platform.node()}"
