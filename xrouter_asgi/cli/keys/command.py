"""`xrouter keys`: the keys of a database.

It writes to the store itself, so the first key needs no other key; there is no default key and no master key.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import get_args

from ...keys import State
from ...keys.issuer import OVERLAP
from ...keys.secret import KINDS
from ...settings.environment import KEYS_PEPPER as PEPPER
from ...settings.environment import KEYS_URL as URL
from ..base import Commands, Parser, add_command, add_settings_options
from .arguments import CLEARED, count, duration, moment
from .changing import resume, revoke, rotate, suspend, update
from .creation import create, import_keys
from .examples import EXAMPLES
from .listing import list_keys, show
from .work import Act, KeyWork, run


def add_keys_command(commands: Commands, environment: Mapping[str, str]) -> None:
    """Add `keys` to the commands of `xrouter`. The environment may name the database and the pepper."""
    text = "Make, list, change, suspend, rotate and revoke the API keys of a database."
    epilog = (
        f"environment, instead of a settings file with [keys]:\n  {URL}     the database\n"
        f"  {PEPPER}  what keys are digested with; as the server has it"
    )
    actions = commands.add_parser("keys", help=text, description=text, epilog=epilog).add_commands("ACTION")

    def action(name: str, act: Act, text: str) -> Parser:
        parser = add_command(actions, name, partial(run, act, environment), text, epilog=EXAMPLES[name])
        add_store_options(parser)
        return parser

    _add_creation(action("create", create, "Make a key, or those of a file, and show their secrets once."))
    _add_fields(action("import", import_keys, "Take over keys of another gateway, read from standard input."))
    _add_filters(action("list", list_keys, "List the keys, oldest first."))
    _add_id(action("show", show, "Show a key and its history."))
    _add_update(action("update", update, "Change what a key may do, its end, its name, its owner or groups."))
    _add_change(action("suspend", suspend, "Refuse a key until it is resumed."))
    _add_change(action("resume", resume, "Let a suspended key in again."))
    _add_rotation(action("rotate", rotate, "Give a key another secret; the old one stays good for a while."))
    _add_change(action("revoke", revoke, "End a key for good."))
    action("migrate", _migrate, "Make the tables in the database, or bring them up to date.")


def add_store_options(parser: Parser) -> None:
    """Which database, and in which form to answer."""
    parser.add_argument(
        "--url",
        help=f"sqlite:///keys.db or postgresql://user@host/name; default: ${URL}, else [keys] of the settings",
    )
    add_settings_options(parser, default="$XROUTER_CONFIG, else ./xrouter.toml")
    parser.add_argument("--json", action="store_true", help="write JSON, for scripts")


def _add_creation(parser: Parser) -> None:
    parser.add_argument("--kind", choices=KINDS, default="live", help="what its secret starts with; default: live")
    parser.add_argument("--from", dest="file", metavar="FILE", help="CSV with a key in each row; - for standard input")
    parser.add_argument("--output", metavar="FILE", help="a new file for the secrets that only you can read")
    _add_fields(parser)


def _add_id(parser: Parser) -> None:
    parser.add_argument("id", metavar="ID", help="of the key: key_ and 8 characters")


def _add_change(parser: Parser) -> None:
    _add_id(parser)
    parser.add_argument("--reason", help="why, for the audit")


def _add_update(parser: Parser) -> None:
    _add_change(parser)
    _add_fields(parser)
    parser.add_argument(
        "--clear", action="append", default=[], choices=CLEARED, help="as if it had never been given; may be repeated"
    )


def _add_rotation(parser: Parser) -> None:
    _add_change(parser)
    parser.add_argument("--overlap", type=duration, default=OVERLAP, help="how long the old one is good; default: 24h")
    parser.add_argument("--expires", type=moment, metavar="WHEN", help="another end for the key, as 90d or 2027-01-31")


def _add_fields(parser: Parser) -> None:
    parser.add_argument("--name", help="what people call it")
    parser.add_argument("--owner", help="whom it belongs to")
    several = partial(parser.add_argument, action="append")
    several("--group", help="of the owner, for limits and sums per group; default: none")
    several("--model", help="a model or pattern it may use; default: all")
    several("--scope", help="chat, embeddings, models, explain or your own; default: all")
    several("--limit", help="such as 60/minute or '60 rpm; 20 USD/day'; default: the server's")
    parser.add_argument("--not-before", type=moment, metavar="WHEN", help="when it begins to be good")
    parser.add_argument("--expires", type=moment, metavar="WHEN", help="when it ends, as 90d or 2027-01-31")


def _add_filters(parser: Parser) -> None:
    parser.add_argument("--owner", help="only the keys of this one")
    parser.add_argument("--group", help="only the keys of owners in this one")
    parser.add_argument("--name", default="", help="only the keys with this in their name, in any case")
    parser.add_argument(
        "--state", action="append", default=[], choices=get_args(State), help="only such keys; may be repeated"
    )
    parser.add_argument("--page-size", type=count, metavar="N", help="so many keys at most; default: all")
    parser.add_argument("--after", metavar="ID", help="only the keys after this one, the last of the page before")


async def _migrate(work: KeyWork) -> None:
    await work.store.migrate()
    work.tell("The key tables are up to date.", {"migrated": True})
