"""What may go wrong upstream, and the one place that turns it into an error of `xrouter_asgi.errors`.

Every transport raises httpx's exceptions. The subclasses below make the few distinctions that httpx lacks.
"""

from __future__ import annotations

import socket
import ssl
from typing import TypeVar

import httpx

from ...errors import UpstreamError, UpstreamTimeout, UpstreamUnavailable

E = TypeVar("E", bound=BaseException)


class TruncatedBody(httpx.RemoteProtocolError):
    """The connection ended before the announced end of the body."""


class TotalTimeout(httpx.TimeoutException):
    """The whole exchange took too long."""


class StaleConnection(httpx.ReadError):
    """A kept connection turned out to be closed before any byte of an answer came."""


# OpenSSL's X509_V_ERR_* for a chain that does not end in a trusted certificate.
_UNTRUSTED_ISSUER = {2, 18, 19, 20, 21}

# httpcore and h11 tell these apart by their text only.
_CUT_SHORT = "peer closed connection without sending complete message body"
_GONE = ("Server disconnected", "<ConnectionTerminated", "<StreamReset")


def upstream_error(exc: Exception, *, started: bool, where: str, hurried: bool = False) -> UpstreamError:
    """The error for an exception of a transport.

    Args:
        exc: An `httpx.RequestError` or an `OSError`.
        started: Whether the head of the answer had come.
        where: Method and address, for the operator's eyes only.
        hurried: Whether the caller gave it less time than usual, so that its lateness shows nothing.
    """
    detail = f"{where}: {type(exc).__name__}: {exc}"
    match exc:
        case httpx.TimeoutException() | TimeoutError():
            return _timeout(exc, started=started, detail=detail, hurried=hurried)
        case httpx.ProxyError():
            return UpstreamUnavailable(
                "The proxy did not connect to the upstream.", code="connect_refused", detail=detail
            )
        case httpx.RemoteProtocolError():
            return _bad_answer(exc, detail)
        case httpx.NetworkError() | OSError():
            return _broken_connection(exc, detail)
        case _:
            return UpstreamError("The exchange with the upstream broke HTTP.", code="bad_protocol", detail=detail)


def has_unknown_issuer(exc: BaseException) -> bool:
    """Whether the cause of an error is a certificate whose issuer is not trusted."""
    refused = _find(exc, ssl.SSLCertVerificationError)
    return refused is not None and refused.verify_code in _UNTRUSTED_ISSUER


def _timeout(exc: Exception, *, started: bool, detail: str, hurried: bool) -> UpstreamError:
    match exc:
        case httpx.PoolTimeout():
            return UpstreamUnavailable(
                "All connections to the upstream are in use. Try again shortly.",
                code="pool_exhausted",
                status=503,
                type="service_unavailable_error",
                retry_after=1,
                retryable=False,  # the caller has waited already
                trips=False,  # the upstream was not asked
                detail=detail,
            )
        case httpx.ConnectTimeout():
            code, message = "connect_timeout", "The upstream could not be connected to in time."
        case httpx.WriteTimeout():
            code, message = "write_timeout", "The upstream did not take the request in time."
        case TotalTimeout():
            code, message = "total_timeout", "The upstream did not finish its answer in time."
        case _ if started:
            code, message = "idle_timeout", "The upstream fell silent in the middle of its answer."
        case _:
            code, message = "first_byte_timeout", "The upstream did not start to answer in time."
    return UpstreamTimeout(
        message,
        code=code,
        retryable=code == "connect_timeout",  # an upstream that was not reached has not billed anything
        trips=code != "total_timeout" or not hurried,
        detail=detail,
    )


def _broken_connection(exc: Exception, detail: str) -> UpstreamError:
    if (broken := _find(exc, ssl.SSLError)) is not None:
        return _bad_tls(broken, detail)
    if not isinstance(exc, httpx.ConnectError):
        return UpstreamUnavailable("The upstream closed the connection.", code="connection_lost", detail=detail)
    if _find(exc, socket.gaierror) is not None:
        return UpstreamUnavailable("The upstream's name could not be resolved.", code="dns_error", detail=detail)
    return UpstreamUnavailable("The upstream refused the connection.", code="connect_refused", detail=detail)


def _bad_tls(exc: ssl.SSLError, detail: str) -> UpstreamError:
    message = "No secure connection to the upstream could be made."
    if isinstance(exc, ssl.SSLCertVerificationError):
        message = "The upstream's certificate was refused."
        if has_unknown_issuer(exc):
            message = "The issuer of the upstream's certificate is not trusted."
            detail += (
                " Add the issuer's certificate with 'ca_bundle' or SSL_CERT_FILE, or write ca_bundle = \"system\"."
            )
    return UpstreamError(message, code="tls_error", detail=detail)


def _bad_answer(exc: httpx.RemoteProtocolError, detail: str) -> UpstreamError:
    text = str(exc)
    if isinstance(exc, TruncatedBody) or text.startswith(_CUT_SHORT):
        return UpstreamUnavailable("The upstream's answer was cut short.", code="truncated", detail=detail)
    if text.startswith(_GONE):
        return UpstreamUnavailable("The upstream closed the connection.", code="connection_lost", detail=detail)
    return UpstreamError("The upstream did not answer in valid HTTP.", code="bad_protocol", detail=detail)


def _find(exc: BaseException | None, kind: type[E]) -> E | None:
    """The first `kind` among the exception and its causes: httpx wraps what the socket said, several times over."""
    while exc is not None:
        if isinstance(exc, kind):
            return exc
        exc = exc.__cause__ or exc.__context__
    return None
