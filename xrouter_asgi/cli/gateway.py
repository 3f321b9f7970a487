"""A running gateway, as commands find it: its address, a key for it, and which of its models to ask."""

from __future__ import annotations

import ssl
from dataclasses import dataclass

import httpx

LOCAL = "http://127.0.0.1:8000"
KEY = "XROUTER_API_KEY"
"""The environment variable with the key."""
ANY_KEY = "anything"
"""For a gateway that asks for none; agents want one all the same."""
WAIT = 10.0
"""Seconds for the list of models."""


@dataclass(frozen=True, slots=True)
class ServedModel:
    """The model to ask for.

    Attributes:
        context: How many tokens a conversation may have. Agents compact it before that; None leaves it to their guess.
    """

    name: str
    context: int | None


def base_of(url: str) -> str:
    """The address of a gateway without `/v1`, with which some write it."""
    return url.rstrip("/").removesuffix("/v1")


class GatewayError(Exception):
    """What is wrong with the gateway, and what to do about it."""


def find_model(url: str, key: str, wanted: str | None) -> ServedModel:
    """The model to ask for. Raises GatewayError unless the gateway is there, takes the key and serves the model."""
    try:
        answer = httpx.get(f"{url}/v1/models", headers={"Authorization": f"Bearer {key}"}, timeout=WAIT)
        value = answer.json()
        listed = value["data"] if answer.is_success else []
        served = {str(model["id"]): model.get("max_model_len") for model in listed}
        refusal = "" if answer.is_success else str(value["error"]["message"])
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, LookupError, TypeError, AttributeError) as error:
        if isinstance(_reason(error), ssl.SSLCertVerificationError):
            what = "Set SSL_CERT_FILE to the certificate of its issuer."
            raise GatewayError(f"The certificate of the gateway at {url} is not trusted here. {what}") from None
        raise GatewayError(f"There is no gateway at {url}. Start one with: xrouter serve") from None
    if answer.status_code == 401:
        what = "wants a key. Set" if key == ANY_KEY else "does not know the key in"
        how = " to one; make one with" if key == ANY_KEY else ". Make one with"
        raise GatewayError(f"The gateway at {url} {what} {KEY}{how}: xrouter keys create")
    if refusal:
        raise GatewayError(f"The gateway at {url} says: {refusal}")
    if wanted is None and not served:
        raise GatewayError(f"The gateway at {url} lists no model. Name one with --model.")
    name = wanted or next(iter(served))
    return ServedModel(name, served.get(name))  # a pattern may serve what no list names


def _reason(error: BaseException | None) -> BaseException | None:
    """What an error began with."""
    while error is not None and (error.__cause__ or error.__context__) is not None:
        error = error.__cause__ or error.__context__
    return error
