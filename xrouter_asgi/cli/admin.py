"""`xrouter admin key`: the first key of an operator, which no other key can make."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from ..keys import KeySpec
from ..keys.secret import ADMIN
from .base import Commands, add_command
from .keys.arguments import moment
from .keys.command import add_store_options
from .keys.creation import show_once
from .keys.work import KeyWork, run

_EXAMPLES = """\
examples:
  xrouter admin key --name "Ann, on call"
  xrouter admin key --read --name wallboard --expires 365d

The key opens the operator's API that [admin] of the settings serves, and no model. It is listed, rotated and revoked
as every other key: see xrouter keys --help."""


def add_admin_command(commands: Commands, environment: Mapping[str, str]) -> None:
    """Add `admin` to the commands of `xrouter`. The environment may name the database and the pepper."""
    text = "Make the keys of operators."
    actions = commands.add_parser("admin", help=text, description=text).add_commands("ACTION")
    text = "Make an admin key, and show its secret once."
    parser = add_command(actions, "key", partial(run, _make, environment), text, epilog=_EXAMPLES)
    parser.add_argument("--read", action="store_true", help="it may look at everything, and change nothing")
    parser.add_argument("--name", default="", help="whose it is, or what it is for")
    parser.add_argument("--owner", help="whom it belongs to")
    parser.add_argument("--expires", type=moment, metavar="WHEN", help="such as 90d or 2027-01-31; default: never")
    add_store_options(parser)


async def _make(work: KeyWork) -> None:
    options = work.options
    scopes = frozenset({"admin:read" if options.read else "admin"})
    spec = KeySpec(name=options.name, owner=options.owner, expires_at=options.expires, scopes=scopes)
    issued = await work.issuer.create(spec, kind=ADMIN)
    show_once(work, issued, f"Admin key {issued.key.id} is made.")
