"""The command line: `xrouter serve | demo | check | explain | keys`."""

from __future__ import annotations

import argparse
import asyncio
import ipaddress
import logging
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import version

from ..inspection.overview import describe, describe_skins, survey, tell
from ..reloading import FileWatch, Reload, ReloadableRouter
from ..settings import Settings, SettingsError, find_file
from ..standalone import assemble, build_providers
from .explain import add_explain_command
from .keys import add_keys_command

_DEMO = {"providers": {"echo": {"kind": "echo", "delay": 0.05}}, "models": {"echo": {"targets": ["echo/echo"]}}}
_DEMO_HELP = """\
The address is {address}. Paste this into another terminal, with any text as the key:

export OPENAI_BASE_URL={address}/v1
export OPENAI_API_KEY=anything

curl -N {address}/v1/chat/completions -H 'content-type: application/json' \\
  -d '{{"model": "echo", "stream": true, "messages": [{{"role": "user", "content": "Hello from xrouter"}}]}}'

Ctrl+C ends it."""
_EXAMPLES = {
    "serve": """\
examples:
  xrouter serve --config xrouter.toml
  xrouter serve --host 0.0.0.0 --port 80             needs [keys] in the settings
  GIGACHAT_CREDENTIALS=KEY xrouter serve""",
    "demo": """\
examples:
  xrouter demo
  xrouter demo --port 0          takes a free port and prints it""",
    "check": """\
examples:
  xrouter check --config xrouter.toml
  xrouter check --live           asks every provider for its models""",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Returns the exit code: 0, or 1 for something that the user can mend; argparse's 2 is usage."""
    options = _parser().parse_args(arguments)
    lines = logging.StreamHandler()
    lines.setFormatter(_LineFormatter("%(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(handlers=[lines], level=logging.WARNING)
    try:
        code: int = options.run(options)
    except SettingsError as error:
        for problem in error.problems:
            _say(problem)
        return 1
    return code


class _LineFormatter(logging.Formatter):
    """Ends a line about a request with the id that its client was given, and the attempt it is about."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 -- the name that logging calls
        line = super().formatMessage(record)
        match vars(record):
            case {"request_id": str(request_id), "provider": str(provider), "attempt": attempt}:
                return f"{line} ({request_id}, attempt {attempt} at {provider})"
            case {"request_id": str(request_id)}:
                return f"{line} ({request_id})"
        return line


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="xrouter",
        description="An LLM gateway: one OpenAI-compatible address for GigaChat and every upstream that speaks OpenAI.",
        epilog="examples:\n  xrouter demo\n  xrouter serve --config xrouter.toml\n  xrouter check --live",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"xrouter {version('xrouter-asgi')}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, text: str) -> argparse.ArgumentParser:
        return commands.add_parser(
            name,
            help=text,
            description=text,
            epilog=_EXAMPLES[name],
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )

    serve = command("serve", "Serve what the settings say, until SIGTERM or Ctrl+C.")
    demo = command("demo", "Serve a model that echoes, to try clients without a key, a file or a network.")
    check = command("check", "Say everything that is wrong in the settings, or what they serve.")
    serve.set_defaults(run=_serve)
    demo.set_defaults(run=_demo)
    check.set_defaults(run=_check)
    for each in (serve, check):
        each.add_argument(
            "--config",
            metavar="FILE",
            help="settings in TOML; default: $XROUTER_CONFIG, else ./xrouter.toml, else the environment's GIGACHAT_*",
        )
    for each in (serve, demo):
        each.add_argument("--host", help="the address to listen at; default: the settings', else 127.0.0.1")
        each.add_argument("--port", type=_port, help="0 takes a free one; default: the settings', else 8000")
    serve.add_argument("--no-auth", action="store_true", help="let everybody in, also from beyond this machine")
    check.add_argument("--live", action="store_true", help="also ask every provider for its models")
    add_explain_command(commands)
    add_keys_command(commands, os.environ)
    return parser


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port. Write a number from 0 to 65535.")
    return int(text)


def _serve(options: argparse.Namespace) -> int:
    file = find_file(options.config)
    watch = FileWatch(file) if file else None  # before it is read, so that no change is missed
    settings = Settings.load(options.config)
    host = options.host or settings.server.host
    if settings.keys is not None and options.no_auth:
        _say("The settings have [keys], and --no-auth says to ask for none. Take one of them out.")
        return 1
    if settings.keys is None and not (options.no_auth or _loopback(host)):
        _say(f"Without [keys] in the settings everybody who reaches {host} would be let in. Add [keys], or --no-auth.")
        return 1
    if settings.access_log.format == "logging":
        logging.getLogger("xrouter.access").setLevel(logging.INFO)

    def announce(address: str) -> None:
        _say(f"xrouter {version('xrouter-asgi')} serves at {address}/v1")
        _say(f"{describe(settings)}\n\n{describe_skins(settings)}")

    def reload(router: ReloadableRouter) -> Reload:
        load = partial(Settings.load, options.config)
        return Reload(router, load=load, watch=watch if settings.server.reload else None)

    logging.getLogger("xrouter.settings").setLevel(logging.INFO)
    return _listen(settings, options, announce, reload)


def _loopback(host: str) -> bool:
    """Whether only this machine reaches it. A name that is not known to mean that might mean anything."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _demo(options: argparse.Namespace) -> int:
    def announce(address: str) -> None:
        print(_DEMO_HELP.format(address=address), flush=True)

    return _listen(Settings.parse(_DEMO), options, announce)


def _check(options: argparse.Namespace) -> int:
    settings = Settings.load(options.config)
    providers = build_providers(settings)
    print(f"{describe(settings)}\n\n{describe_skins(settings)}")
    if not options.live:
        return 0
    findings = asyncio.run(survey(providers))
    colours = sys.stdout.isatty() and not os.environ.get("NO_COLOR")  # https://no-color.org
    print(f"\n{tell(findings, colours=colours)}")
    return 1 if any(finding.failure is not None for finding in findings) else 0


def _listen(
    settings: Settings,
    options: argparse.Namespace,
    announce: Callable[[str], None],
    reload: Callable[[ReloadableRouter], Reload] | None = None,
) -> int:
    try:
        from ..server.server import Server
    except ModuleNotFoundError:
        _say('Serving needs uvicorn. Install it with: pip install "xrouter-asgi[server]"')
        return 1
    app, router, metrics = assemble(settings)
    host = options.host or settings.server.host
    port = settings.server.port if options.port is None else options.port
    server = Server(
        app,
        drain=router.drain,
        stop=router.stop,
        grace=settings.server.drain,
        listening=announce,
        trusted_proxies=settings.server.trusted_proxies,
        reload=reload(router) if reload is not None else None,
    )
    own = settings.metrics
    if metrics is not None and own is not None and own.port is not None:
        try:
            _say(f"Metrics are shown at {server.beside(metrics, own.host, own.port)}/metrics")
        except OSError as error:
            _say(f"Cannot listen at {own.host}:{own.port}: {error.strerror}. Write another port in [metrics].")
            return 1
    try:
        server.listen(host, port)
    except OSError as error:
        _say(f"Cannot listen at {host}:{port}: {error.strerror}. Choose another with --host and --port.")
        return 1
    return 0


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
