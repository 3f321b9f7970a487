"""Where a host looks for who is calling."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.types import Scope

from ...context import Principal, RequestContext


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
    """A principal's scopes in the shape of Starlette's `request.auth`, which `@requires` looks at.

    Only what was given by name, and `authenticated`: a key without scopes may use every endpoint of LLMRouter, but
    must not become an administrator of the host by that.
    """

    scopes: tuple[str, ...]


def introduce(scope: Scope, principal: Principal) -> None:
    """Note who is calling; in the host's own places only where they are free."""
    RequestContext.of(scope).principal = principal
    scope.setdefault("state", {}).setdefault("principal", principal)
    scope.setdefault("user", Caller(principal))
    scope.setdefault("auth", Permissions(("authenticated", *sorted(principal.scopes))))
