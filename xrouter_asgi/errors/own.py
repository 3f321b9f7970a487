"""What the gateway itself says no with: the request is wrong, not allowed, too much, or comes at a bad time."""

from __future__ import annotations

from .base import XRouterError


class InvalidRequest(XRouterError):
    """The request itself is wrong; repeating it changes nothing."""

    status = 400
    type = "invalid_request_error"


class UnsupportedOperation(InvalidRequest):
    """A parameter, value or operation that the chosen upstream cannot honour."""

    code = "unsupported_parameter"


class RequestRejected(InvalidRequest):
    """The upstream refused what the caller asked for; its own words are the message."""


class ContentRefused(InvalidRequest):
    """A check of the operator's refuses what the request or its answer says. See `policies.Guard`."""

    code = "content_refused"


class InvalidAPIKey(InvalidRequest):
    status = 401
    code = "invalid_api_key"


class PermissionDenied(InvalidRequest):
    status = 403
    code = "permission_denied"


class ModelUnpriced(PermissionDenied):
    """A limit of money holds for the caller, and nobody knows what the model costs."""

    code = "model_unpriced"


class ModelNotFound(InvalidRequest):
    status = 404
    code = "model_not_found"
    falls_back = True

    def __init__(self, model: str, message: str | None = None, *, detail: str | None = None) -> None:
        # LiteLLM and others match these words.
        name = model[:256]
        text = message or f"The model `{name}` does not exist or you do not have access to it. See GET /v1/models."
        super().__init__(text, param="model", detail=detail)


class NotFound(InvalidRequest):
    status = 404


class MethodNotAllowed(InvalidRequest):
    status = 405
    code = "method_not_supported"

    def __init__(self, message: str, *, allow: str) -> None:
        super().__init__(message)
        self.allow = allow

    def headers(self) -> list[tuple[bytes, bytes]]:
        return [*super().headers(), (b"allow", self.allow.encode("ascii"))]


class PayloadTooLarge(InvalidRequest):
    status = 413
    code = "payload_too_large"


class UnsupportedMediaType(InvalidRequest):
    status = 415
    code = "unsupported_media_type"


class RateLimitExceeded(XRouterError):
    """A limit of ours. `type` is `requests` or `tokens`."""

    status = 429
    type = "requests"
    code = "rate_limit_exceeded"


class BudgetExceeded(RateLimitExceeded):
    """A limit of money. `type` and `code` make OpenAI's SDKs and Codex give up, instead of trying again."""

    type = "insufficient_quota"
    code = "insufficient_quota"
    should_retry = False


class NotReady(XRouterError):
    """This process is draining, or has no room, and takes no new work."""

    status = 503
    type = "service_unavailable_error"
    code = "not_ready"


class KeyStoreUnavailable(XRouterError):
    """Nobody can say whether a key is good: a 503, never a 401, which would make clients throw their key away."""

    status = 503
    type = "service_unavailable_error"
    code = "store_unavailable"
