"""The examples at the end of each `xrouter keys ACTION --help`."""

from __future__ import annotations

from typing import Final

EXAMPLES: Final = {
    "create": """\
examples:
  xrouter keys create --url sqlite:///keys.db --name "Ann's laptop" --owner ann --group research --expires 90d
  xrouter keys create --owner crawler --model 'GigaChat-2*' --scope chat --limit '60/minute; 100000 tokens/day'
  SECRET=$(xrouter keys create --owner ci --kind test --json | jq -r .secret)
  xrouter keys create --from team.csv --expires 90d --output secrets.csv

A file of --from is CSV in UTF-8, with a header that names some of these columns: name, owner, groups, models, scopes,
limits, not_before, expires_at. Several groups, models, scopes or limits in a cell are separated by ';'. What a cell
leaves empty comes from the options. All keys of the file are made, or none; the mistakes are told with their lines:

  name,owner,groups,limits
  laptop,ann,research,60/minute; 8 parallel
  crawler,bob,research; search,100000 tokens/day""",
    "list": """\
examples:
  xrouter keys list
  xrouter keys list --owner ann --json
  xrouter keys list --group research --state active --state unused
  xrouter keys list --name laptop --page-size 50
  xrouter keys list --page-size 50 --after key_4fJ2b9Qx""",
    "show": """\
examples:
  xrouter keys show key_4fJ2b9Qx          with everything that was done to it""",
    "update": """\
examples:
  xrouter keys update key_4fJ2b9Qx --limit '120/minute; 16 parallel'
  xrouter keys update key_4fJ2b9Qx --owner bob --group search --reason 'changed teams'
  xrouter keys update key_4fJ2b9Qx --expires 90d --clear model     all models again, and another end

What is not named stays as it is. What may be given several times replaces the whole list. A changed limit has a count
of its own, which begins empty.""",
    "suspend": """\
examples:
  xrouter keys suspend key_4fJ2b9Qx --reason 'runs wild, asking its owner'""",
    "resume": """\
examples:
  xrouter keys resume key_4fJ2b9Qx --reason 'the loop is mended'""",
    "rotate": """\
examples:
  xrouter keys rotate key_4fJ2b9Qx                 the old secret stays good for 24 hours
  xrouter keys rotate key_4fJ2b9Qx --overlap 0     it ends now
  xrouter keys rotate key_4fJ2b9Qx --expires 90d   and the key gets another end""",
    "revoke": """\
examples:
  xrouter keys revoke key_4fJ2b9Qx --reason 'laptop lost'

This cannot be undone. For a while, suspend the key.""",
    "import": """\
examples:
  xrouter keys import --owner ann < secrets.txt
  echo '{"secret": "sk-…", "name": "crawler", "owner": "ann", "models": ["GigaChat*"]}' | xrouter keys import

Each line is a secret or a JSON object of that form; what an object leaves out comes from the options. Secrets with less
than 128 bits are refused, and nothing is imported then. Those that are there already are left as they are.""",
    "migrate": """\
examples:
  xrouter keys migrate --url postgresql://xrouter@db.example/xrouter

SQLite is migrated when it is first used. Gateways of the version before
go on meanwhile, until they are started again.""",
}
