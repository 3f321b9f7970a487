"""The operator's app: paths → endpoints, behind one guard."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING

from starlette.types import Message, Receive, Scope, Send

from ..asgi.disconnect import ClientDisconnected
from ..asgi.hooks import failure
from ..asgi.refusal import send_refusal
from ..asgi.responses import NOSNIFF, Headers, with_headers
from ..asgi.routes import Routes
from ..asgi.scope import local_path
from ..asgi.sending import Outgoing
from ..context import Principal, RequestContext
from ..errors import XRouterError
from ..keys import Hasher, KeyRegistry
from ..ledger import Spend
from ..middleware.auth import Identify
from ..reloading import Reloaded
from ..settings import Settings
from .api.asking import Processes
from .api.events import EventsAPI
from .api.key_limits import KeyLimits
from .api.keys import KeysAPI
from .api.openapi import openapi
from .api.operation import answer, paths_of
from .api.overview import OverviewAPI
from .api.parts import AdminParts
from .api.requests import RequestsAPI
from .api.settings import SettingsAPI
from .api.spend import SpendAPI
from .api.upstreams import UpstreamsAPI
from .forms import with_token
from .guard import Find, HostUsers, OperatorGuard, OperatorKeys
from .limits_used import LimitsUsed
from .sessions import SESSION, Sessions, mount_of
from .signing import SignIn
from .watched import Watched

if TYPE_CHECKING:
    from .pages import Pages

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS: Headers = (
    (b"content-security-policy", _POLICY.encode("ascii")),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
    NOSNIFF,
)
_CHALLENGE = (b"www-authenticate", b'Bearer realm="xrouter admin"')


class AdminApp:
    """The operator's API and pages, at any path: what happens, the keys, the settings; off unless you serve it.

    An operator is the holder of a key of kind `admin` with the scope `admin`, or `admin:read` to look only. Such a key
    comes in `Authorization: Bearer`, or a browser exchanges it for a session at `/session`.

        live = Live()
        app = RequestEventsMiddleware(router, observers=[live])
        admin = AdminApp(ThisProcess(router, live), identify=staff)

    Args:
        processes: What is shown: this process, or each of several workers.
        keys: To show, make, rotate and revoke them; None leaves those paths out. Whoever makes it closes it.
        hasher: The one that the keys are checked with.
        identify: Who asks, in a host with users of its own; else the admin keys of `keys`. A principal needs the scope
            by name: one without scopes is no operator.
        spend: What was spent, and the budgets; None leaves those paths out.
        limits: How far the limits that all processes count together are used up; None where each tells of its own.
        settings: Those in force; None leaves that path out.
        reload: Reads the settings again; None leaves that path out.
        allow: Networks of the peers that may come; none means all.

    Raises ValueError without `keys` and `identify`, and for a network that is none; ImportError without Jinja2.
    """

    def __init__(
        self,
        *processes: Watched,
        keys: KeyRegistry | None = None,
        hasher: Hasher | None = None,
        identify: Identify | None = None,
        spend: Spend | None = None,
        limits: LimitsUsed | None = None,
        settings: Callable[[], Settings] | None = None,
        reload: Callable[[], Awaitable[Reloaded]] | None = None,
        allow: Iterable[str] = (),
    ) -> None:
        hasher, sessions = hasher or Hasher(), Sessions()
        find = self._find = _finder(identify, keys, hasher, sessions)
        self._guard = OperatorGuard(find, allow=allow)
        asked, configured = Processes(processes), SettingsAPI(settings, reload)
        currency = None if settings is None else settings().currency
        self._parts = AdminParts(
            currency or "",
            OverviewAPI(asked, settings_version=configured.version),
            RequestsAPI(asked, spend),
            UpstreamsAPI(asked),
            None if keys is None else KeysAPI(keys, hasher, KeyLimits(asked, limits), currency=currency),
            None if spend is None else SpendAPI(spend),
            configured,
            EventsAPI(asked, version=configured.version),
        )
        signing = SignIn(find, sessions, self._guard).paths() if isinstance(find, OperatorKeys) else {}
        pages = _pages(self._parts, sessions if signing else None)
        self._open = pages.open_paths() | {path: signing.pop(path) for path in (SESSION,) if signing}
        paths = paths_of(self._parts.operations())
        paths["/api/openapi.json"] = {"GET": self._openapi}
        self._on_error = pages.on_error
        self._routes = Routes({**paths, **pages.paths(), **signing, **self._open}, on_error=pages.on_error)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one ASGI scope."""
        if scope["type"] != "http":
            await self._routes(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            await send(with_headers(message, _HEADERS))

        scope = dict(scope)
        context = RequestContext.of(scope)
        context.endpoint = "admin"
        context.principal = None  # who may use models is nobody here
        if local_path(scope) not in self._open:
            try:
                scope, receive = await with_token(scope, receive)
                context.principal = await self._admit(scope, context)
            except XRouterError as error:
                challenge = (_CHALLENGE,) if error.status == 401 else ()
                await send_refusal(scope, receive, send_guarded, error, on_error=self._on_error, headers=challenge)
                return
            except ClientDisconnected:
                return
        await self._routes(scope, receive, send_guarded)

    async def aclose(self) -> None:
        """Wait for lookups of admin keys. What was given to it stays open."""
        if isinstance(self._find, OperatorKeys):
            await self._find.aclose()

    async def _admit(self, scope: Scope, context: RequestContext) -> Principal:
        """The operator who asks. Raises XRouterError for everybody else, and nothing else."""
        try:
            return await self._guard.admit(scope)
        except XRouterError:
            raise
        except Exception as error:  # whatever fails in the host's own function, an unknown caller stays outside
            raise failure("The caller could not be identified", error, context) from error

    async def _openapi(self, scope: Scope, receive: Receive, send: Outgoing, context: RequestContext) -> None:
        await answer(send, context, openapi(self._parts.operations(), mount_of(scope)))


def _pages(parts: AdminParts, sessions: Sessions | None) -> Pages:
    try:
        from .pages import Pages  # here, because it needs an extra
    except ModuleNotFoundError as error:
        raise ImportError('AdminApp needs Jinja2. Install it with: pip install "xrouter-asgi[admin]"') from error
    return Pages(parts, sessions)


def _finder(identify: Identify | None, keys: KeyRegistry | None, hasher: Hasher, sessions: Sessions) -> Find:
    """Who finds out who asks: the host, if it has users, else the keys."""
    if identify is not None:
        return HostUsers(identify)
    if keys is not None:
        return OperatorKeys(keys, hasher, sessions)
    raise ValueError("AdminApp needs keys, or a function identify: without one of them nobody may come in.")
