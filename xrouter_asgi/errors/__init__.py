"""One family of errors.

    XRouterError                     status   code                       retry   trips   falls back
    ├── InvalidRequest               400      see openai's literals      no      no      no
    │   ├── UnsupportedOperation     400      unsupported_parameter      no      no      no
    │   ├── RequestRejected          theirs   the upstream's own         no      no      no
    │   └── ContentRefused           400      content_refused            no      no      no
    ├── InvalidAPIKey                401      invalid_api_key            no      no      no
    ├── PermissionDenied             403      permission_denied          no      no      no
    │   └── ModelUnpriced            403      model_unpriced             no      no      no
    ├── ModelNotFound                404      model_not_found            no      no      yes
    ├── NotFound                     404      null                       no      no      no
    ├── MethodNotAllowed             405      method_not_supported       no      no      no
    ├── PayloadTooLarge              413      payload_too_large          no      no      no
    ├── UnsupportedMediaType         415      unsupported_media_type     no      no      no
    ├── RateLimitExceeded            429      rate_limit_exceeded        no      no      no
    │   └── BudgetExceeded           429      insufficient_quota         no      no      no
    ├── NotReady                     503      not_ready                  no      no      no
    ├── KeyStoreUnavailable          503      store_unavailable          no      no      no
    └── UpstreamError                502      upstream_error             no      yes     yes
        ├── UpstreamUnauthorized     502      upstream_auth_failed       no      no      yes
        ├── UpstreamForbidden        403      permission_denied          no      no      yes
        ├── UpstreamRateLimited      429      rate_limit_exceeded        yes     no      yes
        │   └── ConcurrencyExceeded  429      concurrency_limit          no      no      yes
        ├── UpstreamQuotaExceeded    429      insufficient_quota         no      no      yes
        ├── UpstreamUnavailable      502      upstream_unreachable       yes     yes     yes
        │   └── UpstreamOverloaded   503      upstream_overloaded        yes     yes     yes
        ├── UpstreamTimeout          504      upstream_timeout           no      yes     yes
        └── CircuitOpen              503      circuit_open               no      no      yes

The columns are class attributes, so that whoever decides about retries, breakers, metrics and the answer reads the
same facts; an error that differs from its class says so when it is made. `type` and `code` are the literals that
OpenAI's clients match on; where OpenAI has none, `code` is the outcome word of ours (`connect_refused`,
`first_byte_timeout`, …). Messages are read by clients: they never hold an upstream's address, a header, a secret or a
class name. What only an operator may see goes into `detail`.
"""

from .base import CooldownKind, XRouterError
from .own import (
    BudgetExceeded,
    ContentRefused,
    InvalidAPIKey,
    InvalidRequest,
    KeyStoreUnavailable,
    MethodNotAllowed,
    ModelNotFound,
    ModelUnpriced,
    NotFound,
    NotReady,
    PayloadTooLarge,
    PermissionDenied,
    RateLimitExceeded,
    RequestRejected,
    UnsupportedMediaType,
    UnsupportedOperation,
)
from .upstream import (
    CircuitOpen,
    ConcurrencyExceeded,
    UpstreamError,
    UpstreamForbidden,
    UpstreamOverloaded,
    UpstreamQuotaExceeded,
    UpstreamRateLimited,
    UpstreamTimeout,
    UpstreamUnauthorized,
    UpstreamUnavailable,
)

__all__ = [
    "BudgetExceeded",
    "CircuitOpen",
    "ConcurrencyExceeded",
    "ContentRefused",
    "CooldownKind",
    "InvalidAPIKey",
    "InvalidRequest",
    "KeyStoreUnavailable",
    "MethodNotAllowed",
    "ModelNotFound",
    "ModelUnpriced",
    "NotFound",
    "NotReady",
    "PayloadTooLarge",
    "PermissionDenied",
    "RateLimitExceeded",
    "RequestRejected",
    "UnsupportedMediaType",
    "UnsupportedOperation",
    "UpstreamError",
    "UpstreamForbidden",
    "UpstreamOverloaded",
    "UpstreamQuotaExceeded",
    "UpstreamRateLimited",
    "UpstreamTimeout",
    "UpstreamUnauthorized",
    "UpstreamUnavailable",
    "XRouterError",
]
