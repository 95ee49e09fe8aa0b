"""The error object that both of OpenAI's dialects have."""

from __future__ import annotations

from typing import Any, Final

_TYPES: Final = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
}


def openai_error(status: int, message: str, code: str) -> dict[str, Any]:
    """What stands under `error` in the body of an answer with this HTTP status."""
    kind = _TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
    return {"message": message, "type": kind, "param": None, "code": code}
