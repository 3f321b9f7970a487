"""The caller, in the places where a host looks for its user."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.types import Scope

from ...context import Principal


@dataclass(frozen=True, slots=True)
class Caller:
    """A principal in the shape of Starlette's `request.user`."""

    principal: Principal

    @property
    def is_authenticated(self) -> bool:
        return True

    @property
    def identity(self) -> str:
        return self.principal.id

    @property
    def display_name(self) -> str:
        return self.principal.owner or self.principal.id


@dataclass(frozen=True, slots=True)
class Permissions:
    """A principal's scopes in the shape of Starlette's `request.auth`, which `@requires` reads.

    They are `authenticated` and the scopes that were given by name. A key without scopes may use every endpoint of
    LLMRouter, but that must not make it an administrator of the host.
    """

    scopes: tuple[str, ...]


def introduce(scope: Scope, principal: Principal) -> None:
    """Put the caller into the host's places, unless the host has put something there."""
    scope.setdefault("state", {}).setdefault("principal", principal)
    scope.setdefault("user", Caller(principal))
    scope.setdefault("auth", Permissions(("authenticated", *sorted(principal.scopes))))
