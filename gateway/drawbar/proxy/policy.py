"""What the gateway and a session want of a request beside what its client asks for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from drawbar.proxy.call import Call
from drawbar.proxy.settings import Settings
from drawbar.wire.dialect import Request
from drawbar.wire.hosted_tools import withhold
from drawbar.wire.notes import with_notes


def under_policy(call: Call, request: Request, settings: Settings) -> Request:
    """The request as it is recorded: as the client sent it, and a note of what is withheld from the provider, and of
    whose weights are asked. The call is told what to change. Raises `BadBody`."""
    call.wants_tokens = settings.token_ids or call.session.token_ids
    kinds = settings.withhold | call.session.withhold
    withheld = withhold(call.dialect.name, request, kinds) if kinds else None
    notes: dict[str, Any] = {}
    if withheld is not None:
        call.changes = withheld.changes
        notes["withheld"] = list(withheld.names)
    endpoint = call.session.endpoint
    if endpoint is not None and endpoint.policy_version is not None:
        notes["policy_version"] = endpoint.policy_version
    return replace(request, envelope=with_notes(request.envelope, notes)) if notes else request
