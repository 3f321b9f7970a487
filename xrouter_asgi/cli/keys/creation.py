"""`xrouter keys create | import`: new keys, and their secrets, which are written once."""

from __future__ import annotations

import csv
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import StringIO
from typing import IO

from ...keys import APIKey, Issued, KeyExists, KeySpec
from ...keys.base import utc_now
from ...keys.documents import key_document
from ..base import say
from .arguments import fields_of, imported
from .rows import read_specs
from .text import key_table, key_text
from .work import KeyWork, in_json


async def create(work: KeyWork) -> None:
    options = work.options
    fields = fields_of(options)
    specs = [KeySpec(**fields)] if options.file is None else read_specs(options.file, fields, currency=work.currency)
    _warn(specs)
    with _secrets_file(options.output) as file:  # before the keys: what cannot be written shall not be made
        issued = await work.issuer.create_all(specs, kind=options.kind)
        if file is not None:
            await _write(work, issued, file)
    if options.file is None and options.output is None:
        show_once(work, issued[0], f"Key {issued[0].key.id} is made.")
        return
    if options.output is None:
        print(_secrets(work, issued), end="")
        say(f"Made: {len(issued)}. Their secrets cannot be shown again: only digests are kept.")
    else:
        keys, now = [each.key for each in issued], utc_now()
        text = f"Made: {len(keys)}. Their secrets are in {options.output}, and cannot be shown again."
        work.tell(f"{text}\n\n{key_table(keys, now)}", [key_document(key, now) for key in keys])
    _warn_without_pepper(work)


async def import_keys(work: KeyWork) -> None:
    spec, now = KeySpec(**fields_of(work.options)), utc_now()
    # Read every line before keeping the first key.
    lines = [(number, line.strip()) for number, line in enumerate(sys.stdin, start=1) if line.strip()]
    pairs = [imported(number, line, spec, currency=work.currency) for number, line in lines]
    _warn([each for _, each in pairs])
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


def show_once(work: KeyWork, issued: Issued, what: str) -> None:
    """Print a key with its secret."""
    key, now = issued.key, utc_now()
    text = f"{what} Copy its secret now. Only a digest is kept, so it cannot be shown again.\n\n  {issued.secret}"
    work.tell(f"{text}\n\n{key_text(key, now)}", key_document(key, now) | {"secret": issued.secret})
    _warn_without_pepper(work)


def _warn_without_pepper(work: KeyWork) -> None:
    if work.hasher.version == 0:
        say("It is kept as plain SHA-256. With a pepper, here and at the server, it would be HMAC-SHA-256.")


def _warn(specs: Sequence[KeySpec]) -> None:
    for warning in dict.fromkeys(warning for spec in specs for warning in spec.warnings):
        say(warning)


@contextmanager
def _secrets_file(path: str | None) -> Iterator[IO[str] | None]:
    """A new file that nobody else can read. It is removed again if nothing comes of it."""
    if path is None:
        yield None
        return
    try:
        file = os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w", encoding="utf-8", newline="")
    except OSError as error:
        raise ValueError(f"{path} cannot be made: {error.strerror}. No key was made.") from None
    try:
        with file:
            yield file
    except BaseException:
        os.unlink(path)
        raise


async def _write(work: KeyWork, issued: Sequence[Issued], file: IO[str]) -> None:
    try:
        file.write(_secrets(work, issued))
        file.flush()
        os.fsync(file.fileno())
    except OSError as error:
        for each in issued:
            await work.issuer.revoke(each.key.id, reason="Its secret could not be written.")
        raise ValueError(f"The secrets cannot be written: {error.strerror}. Their keys are revoked again.") from None


def _secrets(work: KeyWork, issued: Sequence[Issued]) -> str:
    """The keys with their secrets, as JSON or CSV."""
    if work.options.json:
        now = utc_now()
        return in_json([key_document(each.key, now) | {"secret": each.secret} for each in issued]) + "\n"
    text = StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(("id", "name", "owner", "secret"))
    rows.writerows((each.key.id, each.key.name, each.key.owner or "", each.secret) for each in issued)
    return text.getvalue()
