"""`xrouter serve`, and `xrouter demo`, which serves without any settings."""

from __future__ import annotations

import argparse
import asyncio
import ipaddress
import logging
import socket
import sys
from collections.abc import Callable, Mapping
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from ..admission import raise_descriptors
from ..inspection import describe_layers, describe_models
from ..reloading import FileWatch
from ..server.listener import host_of, passed_listener
from ..settings import Settings, describe_source, find_file, remarks
from ..settings.base import OPEN
from ..settings.telemetry import LogSettings
from ..standalone import Assembly, admin_of_workers, assemble
from ..telemetry.summing import encode
from .base import Commands, add_command, add_settings_options, fail
from .log import Announcer, set_up_log_of_server
from .served import Served, cannot_listen, place_of, show_admin, show_metrics

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from ..server.server import Server
    from ..server.supervisor import Supervisor

logger = logging.getLogger("xrouter")

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
  xrouter serve --ssl-certfile fullchain.pem --ssl-keyfile privkey.pem
  xrouter serve --workers 4                          needs Redis for limits, and metrics on a port of their own
  GIGACHAT_CREDENTIALS=KEY xrouter serve"""
_DEMO_EXAMPLES = """\
examples:
  xrouter demo
  xrouter demo --port 0          takes a free port and prints it"""


def add_serve_commands(commands: Commands, environment: Mapping[str, str]) -> None:
    """Add `serve` and `demo` to the commands of `xrouter`. The environment may hold settings."""

    text = "Serve what the settings say, until SIGTERM or Ctrl+C."
    serve = add_command(commands, "serve", partial(_serve, environment), text, epilog=_SERVE_EXAMPLES)
    text = "Serve a model that echoes, to try clients without a key, a file or a network."
    demo = add_command(commands, "demo", _demo, text, epilog=_DEMO_EXAMPLES)
    for command in (serve, demo):
        command.add_argument("--host", help="the address to listen at; default: the settings', else 127.0.0.1")
        command.add_argument("--port", type=_port, help="0 takes a free one; default: the settings', else 8000")
    add_settings_options(serve)
    serve.add_argument(
        "--log-level",
        choices=("debug", "info", "warning", "error"),
        help="the least weighty lines of the log; default: the settings', else info",
    )
    serve.add_argument(
        "--workers", type=_workers, metavar="N", help="processes that serve; default: the settings', else 1"
    )
    serve.add_argument("--ssl-certfile", type=_file, metavar="FILE", help="serve HTTPS with this certificate; PEM")
    serve.add_argument("--ssl-keyfile", type=_file, metavar="FILE", help="its key, if it is in a file of its own; PEM")
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


def _file(text: str) -> Path:
    return Path(text).absolute()


def _descriptors(text: str) -> tuple[socket.socket, socket.socket]:
    """The line to the supervisor, and the socket to listen at."""
    line, listener = (socket.socket(fileno=int(number)) for number in text.split(","))
    return line, listener


def _serve(environment: Mapping[str, str], options: argparse.Namespace) -> int:
    _set_up_log(LogSettings(), options)  # until the settings say more: reading them may warn
    file = find_file(options.config)
    watch = FileWatch(file) if file else None  # before the file is read, so that no change is missed
    load = partial(_load, options)
    settings = load()
    try:
        passed = passed_listener(environment)
    except ValueError as error:
        return fail(str(error))
    host = place_of(settings, options)[0] if passed is None else host_of(passed)
    if settings.keys is not None and options.no_auth:
        return fail("The settings have [keys], and --no-auth says to ask for none. Take one of them out.")
    if settings.keys is None and not (options.no_auth or _is_loopback(host)):
        return fail(
            f"Without [keys] in the settings everybody who reaches {host} would be let in. Add [keys], or --no-auth."
        )
    announcer = _set_up_log(settings.log, options)
    if settings.access_log.format == "logging":
        logging.getLogger("xrouter.access").setLevel(logging.INFO)
    if options.worker is not None:
        return _work(settings, *options.worker, load=load)
    if settings.keys is None and not _is_loopback(host):
        logger.warning("Everybody who reaches %s is let in: the settings have no [keys]", host)
    source = describe_source(file, environment)
    for remark in remarks(file, environment):
        announcer.tell(remark)

    def announce(address: str) -> None:
        announcer.tell(f"xrouter {version('xrouter-asgi')} reads {source}", settings=source, version=settings.version)
        more = f"{describe_models(settings)}\n\n{describe_layers(settings)}"
        models = list(settings.served)
        announcer.tell(f"xrouter {version('xrouter-asgi')} serves at {address}/v1", more=more, models=models)

    served = Served(settings, options, announce, announcer, passed)
    if settings.server.workers > 1:
        return _supervise(served, load=load, watch=watch if settings.server.reload else None)
    return _listen(served, load=load, watch=watch)


def _set_up_log(log: LogSettings, options: argparse.Namespace) -> Announcer:
    set_up_log_of_server(options.log_level or log.level, readable=log.readable)
    return Announcer(readable=log.readable)


def _load(options: argparse.Namespace) -> Settings:
    settings = Settings.load(options.config)
    given = {name: getattr(options, name) for name in ("workers", "ssl_certfile", "ssl_keyfile")}
    return settings.with_server(**{name: value for name, value in given.items() if value is not None})


def _is_loopback(host: str) -> bool:
    """Whether only this machine reaches the host. A name may stand for any address, except `localhost`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _demo(options: argparse.Namespace) -> int:
    def announce(address: str) -> None:
        print(_DEMO_HELP.format(address=address), flush=True)

    set_up_log_of_server("info", readable=True)
    return _listen(Served(Settings.parse(_DEMO), options, announce, Announcer(readable=True)))


def _listen(served: Served, *, load: Callable[[], Settings] | None = None, watch: FileWatch | None = None) -> int:
    settings = served.settings
    raise_descriptors()  # first, because how many connections there may be follows from it
    assembly = assemble(settings, load=load, watch=watch if settings.server.reload else None)
    try:
        server = build_server(settings, assembly, served.announce)
    except ModuleNotFoundError:
        return fail('Serving needs uvicorn. Install it with: pip install "xrouter-asgi[server]"')
    failed = show_metrics(served, assembly.metrics, server.beside) or show_admin(served, assembly.admin, server.beside)
    if failed:
        return failed
    try:
        listener = served.listener()
    except OSError as error:
        return cannot_listen(*place_of(settings, served.options), error, "Choose another with --host and --port.")
    with listener:
        server.serve_at(listener)
    return 0


def _supervise(served: Served, *, load: Callable[[], Settings], watch: FileWatch | None) -> int:
    from ..server.supervisor import Supervisor, WorkerFailed

    if sys.platform == "win32":
        return fail("Several workers need what Windows lacks. Serve with one.")
    settings, options = served.settings, served.options
    scheme = "https" if settings.server.certificate_files else "http"
    command = _command_of_worker(settings, options)
    supervisor = Supervisor(command, settings, listening=served.announce, load=load, watch=watch, scheme=scheme)
    admin = _admin_of(supervisor, settings)
    failed = show_metrics(served, supervisor.sums, supervisor.show_metrics) or show_admin(
        served, admin, partial(supervisor.beside, lifespan="on")
    )
    if failed:
        return failed
    try:
        listener = served.listener()
    except OSError as error:
        return cannot_listen(*place_of(settings, options), error, "Choose another with --host and --port.")
    try:
        with listener:
            supervisor.serve_at(listener)
    except WorkerFailed:
        return fail("The workers do not come up, as they say above.")
    return 0


def _command_of_worker(settings: Settings, options: argparse.Namespace) -> list[str]:
    """What starts a worker. It inherits the environment, and what `--env-file` added to it."""
    command = [sys.executable, "-m", "xrouter_asgi", "serve", "--workers", str(settings.server.workers)]
    command += ["--config", options.config] if options.config else []
    for option, value in (("--ssl-certfile", options.ssl_certfile), ("--ssl-keyfile", options.ssl_keyfile)):
        command += [option, str(value)] if value else []
    command += ["--log-level", options.log_level] if options.log_level else []
    command += ["--no-auth"] if settings.keys is None else []  # the host was checked here
    return [*command, "--worker"]


def _admin_of(supervisor: Supervisor, settings: Settings) -> ASGIApp | None:
    """The operator's app, which asks the workers; None without `[admin]`, which then is not imported either."""
    if settings.admin is None:
        return None
    from ..admin import WorkerProcess

    workers = [WorkerProcess(place.number, place.ask) for place in supervisor.workers]
    return admin_of_workers(settings, workers, supervisor, supervisor.reload)


def _work(settings: Settings, line: socket.socket, listener: socket.socket, *, load: Callable[[], Settings]) -> int:
    """Serve as one of several workers."""
    from ..server.worker import Answer, WorkerLine

    raise_descriptors()
    assembly = assemble(settings, load=load)
    metrics = assembly.metrics

    async def measured(params: object) -> bytes:
        return await asyncio.to_thread(lambda: encode({} if metrics is None else metrics.snapshot()))

    answers: dict[str, Answer] = {"measured": measured}
    if assembly.watched is not None:
        from ..admin.workers import answers_of

        answers |= answers_of(assembly.watched)
    end = WorkerLine(line, answers=answers)
    build_server(settings, assembly, end.open).serve_at(listener)
    return 0


def build_server(settings: Settings, assembly: Assembly, announce: Callable[[str], None]) -> Server:
    """Make the server of an app. Opens nothing. Raises ModuleNotFoundError if uvicorn is not installed.

    `announce` is called with the address once the server takes connections.
    """
    from ..server.certificate import Certificate
    from ..server.server import Server

    own = settings.server
    certificate = None
    if files := own.certificate_files:
        certificate = Certificate(own.tls, files=files, watched=own.reload)
    return Server(
        assembly.app,
        drain=assembly.router.drain,
        stop=assembly.router.stop,
        grace=own.drain,
        listening=announce,
        trusted_proxies=own.trusted_proxies,
        connections=settings.admission.connections,
        connections_per_address=settings.admission.connections_per_address,
        probes=OPEN,
        refusals=assembly.refusals,
        reload=assembly.reload,
        certificate=certificate,
    )
