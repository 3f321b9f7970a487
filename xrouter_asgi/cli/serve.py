"""`xrouter serve`, and `xrouter demo`, which serves without any settings."""

from __future__ import annotations

import argparse
import ipaddress
import logging
import socket
import sys
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING

from ..admission import raise_descriptors
from ..inspection import describe_layers, describe_models
from ..reloading import FileWatch, Reload
from ..settings import Settings, find_file
from ..standalone import OPEN, Assembly, assemble
from .base import Commands, add_command, fail, say

if TYPE_CHECKING:
    from ..server.server import Server

_DEMO = {"providers": {"echo": {"kind": "echo", "delay": 0.05}}, "models": {"echo": {"targets": ["echo/echo"]}}}
_DEMO_HELP = """\
The address is {address}. Paste this into another terminal, with any text as the key:

export OPENAI_BASE_URL={address}/v1
export OPENAI_API_KEY=anything

curl -N {address}/v1/chat/completions -H 'content-type: application/json' \\
  -d '{{"model": "echo", "stream": true, "messages": [{{"role": "user", "content": "Hello from xrouter"}}]}}'

Ctrl+C ends it."""
_SERVE_EXAMPLES = """\
examples:
  xrouter serve --config xrouter.toml
  xrouter serve --host 0.0.0.0 --port 80             needs [keys] in the settings
  xrouter serve --workers 4                          needs Redis for limits, and metrics on a port of their own
  GIGACHAT_CREDENTIALS=KEY xrouter serve"""
_DEMO_EXAMPLES = """\
examples:
  xrouter demo
  xrouter demo --port 0          takes a free port and prints it"""


def add_serve_commands(commands: Commands) -> None:
    """Add `serve` and `demo` to the commands of `xrouter`."""

    text = "Serve what the settings say, until SIGTERM or Ctrl+C."
    serve = add_command(commands, "serve", _serve, text, epilog=_SERVE_EXAMPLES)
    text = "Serve a model that echoes, to try clients without a key, a file or a network."
    demo = add_command(commands, "demo", _demo, text, epilog=_DEMO_EXAMPLES)
    for command in (serve, demo):
        command.add_argument("--host", help="the address to listen at; default: the settings', else 127.0.0.1")
        command.add_argument("--port", type=_port, help="0 takes a free one; default: the settings', else 8000")
    serve.add_argument(
        "--config",
        metavar="FILE",
        help="settings in TOML; default: $XROUTER_CONFIG, else ./xrouter.toml, else the environment's GIGACHAT_*",
    )
    serve.add_argument(
        "--workers", type=_workers, metavar="N", help="processes that serve; default: the settings', else 1"
    )
    serve.add_argument("--worker", type=_descriptors, help=argparse.SUPPRESS)  # the supervisor starts workers so
    serve.add_argument("--no-auth", action="store_true", help="let everybody in, also from beyond this machine")


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port. Write a number from 0 to 65535.")
    return int(text)


def _workers(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) <= 256:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of processes. Write one from 1 to 256.")
    return int(text)


def _descriptors(text: str) -> tuple[socket.socket, socket.socket]:
    """The line to the supervisor, and the socket to listen at."""
    line, listener = (socket.socket(fileno=int(number)) for number in text.split(","))
    return line, listener


def _serve(options: argparse.Namespace) -> int:
    file = find_file(options.config)
    watch = FileWatch(file) if file else None  # before the file is read, so that no change is missed
    load = partial(_load, options)
    settings = load()
    host = options.host or settings.server.host
    if settings.keys is not None and options.no_auth:
        return fail("The settings have [keys], and --no-auth says to ask for none. Take one of them out.")
    if settings.keys is None and not (options.no_auth or _is_loopback(host)):
        return fail(
            f"Without [keys] in the settings everybody who reaches {host} would be let in. Add [keys], or --no-auth."
        )
    if settings.access_log.format == "logging":
        logging.getLogger("xrouter.access").setLevel(logging.INFO)
    logging.getLogger("xrouter.settings").setLevel(logging.INFO)

    def announce(address: str) -> None:
        say(f"xrouter {version('xrouter-asgi')} serves at {address}/v1")
        say(f"{describe_models(settings)}\n\n{describe_layers(settings)}")

    if options.worker is not None:
        return _work(settings, *options.worker, load=load)
    if settings.server.workers > 1:
        return _supervise(settings, options, announce, load=load, watch=watch if settings.server.reload else None)
    return _listen(settings, options, announce, load=load, watch=watch)


def _load(options: argparse.Namespace) -> Settings:
    settings = Settings.load(options.config)
    return settings if options.workers is None else settings.with_workers(options.workers)


def _is_loopback(host: str) -> bool:
    """Whether only this machine reaches the host. A name may stand for any address, except `localhost`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _demo(options: argparse.Namespace) -> int:
    def announce(address: str) -> None:
        print(_DEMO_HELP.format(address=address), flush=True)

    return _listen(Settings.parse(_DEMO), options, announce)


def _listen(
    settings: Settings,
    options: argparse.Namespace,
    announce: Callable[[str], None],
    *,
    load: Callable[[], Settings] | None = None,
    watch: FileWatch | None = None,
) -> int:
    raise_descriptors()  # first, because how many connections there may be follows from it
    assembly = assemble(settings)
    try:
        server = build_server(settings, assembly, announce, load=load, watch=watch)
    except ModuleNotFoundError:
        return fail('Serving needs uvicorn. Install it with: pip install "xrouter-asgi[server]"')
    host, port = _address(settings, options)
    own = settings.metrics
    if assembly.metrics is not None and own is not None and own.port is not None:
        shown = own.show(assembly.metrics, settings.service)
        try:
            say(f"Metrics are shown at {server.beside(shown, own.host, own.port)}/metrics")
        except OSError as error:
            return _cannot_listen(own.host, own.port, error, "Write another port in [metrics].")
    try:
        server.listen(host, port)
    except OSError as error:
        return _cannot_listen(host, port, error, "Choose another with --host and --port.")
    return 0


def _supervise(
    settings: Settings,
    options: argparse.Namespace,
    announce: Callable[[str], None],
    *,
    load: Callable[[], Settings],
    watch: FileWatch | None,
) -> int:
    from ..server.supervisor import Supervisor, WorkerFailed

    if sys.platform == "win32":
        return fail("Several workers need what Windows lacks. Serve with one.")
    workers = settings.server.workers
    command = [sys.executable, "-m", "xrouter_asgi", "serve", "--workers", str(workers)]
    command += ["--config", options.config] if options.config else []
    command += ["--no-auth"] if settings.keys is None else []  # the host was checked here
    supervisor = Supervisor([*command, "--worker"], workers, listening=announce, load=load, watch=watch)
    own = settings.metrics
    if own is not None and own.port is not None:
        shown = own.show(supervisor.sums, settings.service)
        try:
            say(f"Metrics are shown at {supervisor.show_metrics(shown, own.host, own.port)}/metrics")
        except OSError as error:
            return _cannot_listen(own.host, own.port, error, "Write another port in [metrics].")
    host, port = _address(settings, options)
    try:
        supervisor.listen(host, port)
    except OSError as error:
        return _cannot_listen(host, port, error, "Choose another with --host and --port.")
    except WorkerFailed:
        return fail("The workers do not come up, as they say above.")
    return 0


def _work(settings: Settings, line: socket.socket, listener: socket.socket, *, load: Callable[[], Settings]) -> int:
    """Serve as one of several workers."""
    from ..server.worker import WorkerLine

    raise_descriptors()
    assembly = assemble(settings)
    end = WorkerLine(line, measured=dict if assembly.metrics is None else assembly.metrics.snapshot)
    build_server(settings, assembly, end.open, load=load).serve_at(listener)
    return 0


def _address(settings: Settings, options: argparse.Namespace) -> tuple[str, int]:
    return options.host or settings.server.host, settings.server.port if options.port is None else options.port


def _cannot_listen(host: str, port: int, error: OSError, remedy: str) -> int:
    return fail(f"Cannot listen at {host}:{port}: {error.strerror}. {remedy}")


def build_server(
    settings: Settings,
    assembly: Assembly,
    announce: Callable[[str], None],
    *,
    load: Callable[[], Settings] | None = None,
    watch: FileWatch | None = None,
) -> Server:
    """Make the server of an app. Opens nothing. Raises ModuleNotFoundError if uvicorn is not installed.

    `announce` is called with the address once the server takes connections; `load`, which reads the settings again, at
    SIGHUP and when `watch` sees a change.
    """
    from ..server.server import Server

    watched = watch if settings.server.reload else None
    return Server(
        assembly.app,
        drain=assembly.router.drain,
        stop=assembly.router.stop,
        grace=settings.server.drain,
        listening=announce,
        trusted_proxies=settings.server.trusted_proxies,
        connections=settings.admission.connections,
        connections_per_address=settings.admission.connections_per_address,
        probes=OPEN,
        refusals=assembly.refusals,
        reload=None if load is None else Reload(assembly.router, load=load, watch=watched),
    )
