"""Models: where requests for each name go, how that is going, and where one would go now."""

from __future__ import annotations

from starlette.types import Receive, Scope

from ...asgi.routes import Endpoint
from ...asgi.sending import Outgoing
from ...context import RequestContext
from ...errors import XRouterError
from ..api.answers import Probed
from ..api.explaining import Explained, ExplainQuery
from ..api.operation import checked
from ..api.upstreams import UpstreamsAPI
from ..forms import query_fields
from .charts import WIDTH
from .frame import PART, Frame

_FIELDS = ExplainQuery.model_fields


class ModelPages:
    """`/models`."""

    def __init__(self, frame: Frame, upstreams: UpstreamsAPI, *, currency: str) -> None:
        self._frame = frame
        self._upstreams = upstreams
        self._currency = currency

    def paths(self) -> dict[str, dict[str, Endpoint]]:
        return {
            "/models": {"GET": self._list, "HEAD": self._list},
            "/models/providers/{name}/probe": {"POST": self._probe},
        }

    async def _list(self, scope: Scope, receive: Receive, send: Outgoing, context: RequestContext) -> None:
        asked = {name: value for name, value in query_fields(scope).items() if name != PART}
        explained, status, problem = None, 200, None
        if asked:
            try:
                explained = await self._upstreams.explain(checked(ExplainQuery, asked))
            except XRouterError as error:
                status, problem = error.status, error.message
        await self._show(scope, send, context, asked, explained, problem=problem, status=status)

    async def _probe(self, scope: Scope, receive: Receive, send: Outgoing, context: RequestContext, name: str) -> None:
        await self._show(scope, send, context, {}, None, probed=await self._upstreams.probe(name))

    async def _show(
        self,
        scope: Scope,
        send: Outgoing,
        context: RequestContext,
        asked: dict[str, str],
        explained: Explained | None,
        *,
        probed: Probed | None = None,
        problem: str | None = None,
        status: int = 200,
    ) -> None:
        models = await self._upstreams.models()
        await self._frame.show(
            scope,
            send,
            context,
            "models",
            status=status,
            models=models["models"],
            workers=models["workers"],
            providers=(await self._upstreams.providers())["providers"],
            whole=WIDTH,
            currency=self._currency,
            asked=dict.fromkeys(_FIELDS, "") | asked,
            explained=explained,
            probed=probed,
            problem=problem,
        )
