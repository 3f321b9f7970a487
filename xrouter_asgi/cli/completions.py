"""`xrouter completions`: what makes a shell complete the commands, options and files of `xrouter`."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from functools import partial

from .base import Commands, Parser, add_command, completed

_EXAMPLES = """\
examples:
  eval "$(xrouter completions bash)"                                            in ~/.bashrc
  eval "$(xrouter completions zsh)"                                             in ~/.zshrc, behind compinit
  xrouter completions fish > ~/.config/fish/completions/xrouter.fish"""

_BASH = """\
_xrouter() {{
  local current=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD-1]}} path= word words= index
  for ((index = 1; index < COMP_CWORD; index++)); do
    word=${{COMP_WORDS[index]}}
    case "$path/$word" in
      {paths}) path=$path/$word ;;
    esac
  done
  case "$path $previous" in
{values}
  esac
  case "$path" in
{words}
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}}
complete -o default -F _xrouter xrouter"""
_ZSH = "autoload -U +X bashcompinit && bashcompinit\n"


def add_completions_command(commands: Commands, root: Parser) -> None:
    """Add `completions` to the commands of `xrouter`. `root` is the parser of all of them."""
    text = "Print what makes a shell complete the commands and options of xrouter."
    command = add_command(commands, "completions", partial(_completions, root), text, epilog=_EXAMPLES)
    command.add_argument("shell", choices=("bash", "zsh", "fish"))


def _completions(root: Parser, options: argparse.Namespace) -> int:
    match options.shell:
        case "fish":
            print("\n".join(_fish(root)))
        case "zsh":
            print(_ZSH + _bash(root))
        case _:
            print(_bash(root))
    return 0


def _parsers(parser: Parser, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Parser]]:
    """Every parser, with the words that lead to it."""
    yield path, parser
    for name, below in (parser.commands.choices if parser.commands else {}).items():
        yield from _parsers(below, (*path, name))


def _bash(root: Parser) -> str:
    parsers = {"".join(f"/{name}" for name in path): parser for path, parser in _parsers(root)}
    values = []
    for path, parser in parsers.items():
        for name, action in parser.options.items():
            if (known := completed(action)) is not None:
                reply = f'compgen -W "{" ".join(known)}"' if known else "compgen -f"
                values.append(f'    "{path} {name}") COMPREPLY=($({reply} -- "$current")); return ;;')
    words = [f'    "{path}") words="{" ".join(_words(parser))}" ;;' for path, parser in parsers.items()]
    return _BASH.format(paths="|".join(filter(None, parsers)), values="\n".join(values), words="\n".join(words))


def _words(parser: Parser) -> list[str]:
    return [*(parser.commands.choices if parser.commands else ()), *parser.options]


def _fish(root: Parser) -> Iterator[str]:
    yield "complete -c xrouter -f"
    for path, parser in _parsers(root):
        condition = f"__fish_seen_subcommand_from {path[-1]}" if path else "__fish_use_subcommand"
        if len(path) > 1:
            condition = f"__fish_seen_subcommand_from {path[0]}; and {condition}"
        if path and parser.commands:
            condition += f"; and not __fish_seen_subcommand_from {' '.join(parser.commands.choices)}"
        for name, below in (parser.commands.choices if parser.commands else {}).items():
            yield f"complete -c xrouter -n '{condition}' -a {name} -d {_quoted(below.description or '')}"
        for name, action in parser.options.items():
            known = completed(action)
            takes = "" if action.nargs == 0 else " -r -F" if known == () else f" -x -a '{' '.join(known or ())}'"
            spelled = f"-l {name.removeprefix('--')}" if name.startswith("--") else f"-s {name.removeprefix('-')}"
            yield f"complete -c xrouter -n '{condition}' {spelled}{takes} -d {_quoted(action.help or '')}"


def _quoted(text: str) -> str:
    first = text.partition(";")[0].replace("%%", "%")
    return "'" + first.replace("\\", "\\\\").replace("'", "\\'") + "'"
