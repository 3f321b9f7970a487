"""The operator's app: paths → endpoints, behind one guard."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence

from starlette.types import Message, Receive, Scope, Send

from ..asgi.hooks import failure
from ..asgi.refusal import send_refusal
from ..asgi.responses import NOSNIFF, Headers, with_headers
from ..asgi.routes import Endpoint, Routes
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
from .api.keys import KeysAPI
from .api.openapi import openapi
from .api.operation import AdminOperation, answer, paths_of
from .api.overview import OverviewAPI
from .api.requests import RequestsAPI
from .api.settings import SettingsAPI
from .api.spend import SpendAPI
from .api.upstreams import UpstreamsAPI
from .guard import Find, HostUsers, OperatorGuard, OperatorKeys
from .sessions import Sessions, mount_of
from .signing import SESSION, SignIn
from .watched import Watched

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
    """The operator's API, at any path: what happens, the keys, the settings; off unless you serve it.

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
        settings: Those in force; None leaves that path out.
        reload: Reads the settings again; None leaves that path out.
        allow: Networks of the peers that may come; none means all.

    Raises ValueError without `keys` and `identify`, and for a network that is none.
    """

    def __init__(
        self,
        *processes: Watched,
        keys: KeyRegistry | None = None,
        hasher: Hasher | None = None,
        identify: Identify | None = None,
        spend: Spend | None = None,
        settings: Callable[[], Settings] | None = None,
        reload: Callable[[], Awaitable[Reloaded]] | None = None,
        allow: Iterable[str] = (),
    ) -> None:
        hasher, sessions = hasher or Hasher(), Sessions()
        find = _finder(identify, keys, hasher, sessions)
        self._guard = OperatorGuard(find, allow=allow)
        asked = Processes(processes)
        configured = SettingsAPI(settings, reload)
        self._operations: Sequence[AdminOperation] = [
            *OverviewAPI(asked, settings_version=configured.version).operations(),
            *RequestsAPI(asked, ledger=None if spend is None else spend.ledger).operations(),
            *UpstreamsAPI(asked).operations(),
            *([] if keys is None else KeysAPI(keys, hasher).operations()),
            *([] if spend is None else SpendAPI(spend).operations()),
            *configured.operations(),
            *EventsAPI(asked, version=configured.version).operations(),
        ]
        self._open: dict[str, dict[str, Endpoint]] = {}
        paths = paths_of(self._operations)
        paths["/api/openapi.json"] = {"GET": self._openapi}
        if isinstance(find, OperatorKeys):
            signing = SignIn(find, sessions, self._guard).paths()
            self._open[SESSION] = signing.pop(SESSION)
            paths |= signing
        self._routes = Routes({**self._open, **paths})

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
                context.principal = await self._admit(scope, context)
            except XRouterError as error:
                challenge = (_CHALLENGE,) if error.status == 401 else ()
                await send_refusal(scope, receive, send_guarded, error, headers=challenge)
                return
        await self._routes(scope, receive, send_guarded)

    async def _admit(self, scope: Scope, context: RequestContext) -> Principal:
        """The operator who asks. Raises XRouterError for everybody else, and nothing else."""
        try:
            return await self._guard.admit(scope)
        except XRouterError:
            raise
        except Exception as error:  # whatever fails in the host's own function, an unknown caller stays outside
            raise failure("The caller could not be identified", error, context) from error

    async def _openapi(self, scope: Scope, receive: Receive, send: Outgoing, context: RequestContext) -> None:
        await answer(send, context, openapi(self._operations, mount_of(scope)))


def _finder(identify: Identify | None, keys: KeyRegistry | None, hasher: Hasher, sessions: Sessions) -> Find:
    """Who finds out who asks: the host, if it has users, else the keys."""
    if identify is not None:
        return HostUsers(identify)
    if keys is not None:
        return OperatorKeys(keys, hasher, sessions)
    raise ValueError("AdminApp needs keys, or a function identify: without one of them nobody may come in.")
