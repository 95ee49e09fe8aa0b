"""Where a `gemini` request says which model it asks and whether it streams: in its URL, not in its body.

`/v1beta/models/gemini-2.5-pro:streamGenerateContent?alt=sse`. The version may be another one, and a model's name may
hold slashes and colons: the method stands behind the last colon. Without `alt=sse` a stream is a JSON array, sent piece
by piece.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, quote, urlencode

_PATH: Final = re.compile(r"/?(v[0-9][a-z0-9]*)/(models|tunedModels)/(.+):([A-Za-z]+)")
_ALT: Final = ("alt", "$alt")


@dataclass(frozen=True, slots=True)
class GeminiPath:
    """A request's URL, read."""

    version: str
    """`v1`, `v1beta`, ..."""
    collection: str
    """`models` or `tunedModels`."""
    model: str
    method: str
    """`generateContent`, `streamGenerateContent`, `countTokens`, ..."""
    query: tuple[tuple[str, str], ...] = ()
    """The query's fields, the client's key left out."""
    key: str | None = None
    """The API key, where the client sends it in the query (`?key=`) and not in the header `x-goog-api-key`."""

    @classmethod
    def read(cls, path: str, query: str = "") -> GeminiPath | None:
        """Of a path that was already unquoted; None when it names no method of a model, or leads elsewhere."""
        found = _PATH.fullmatch(path)
        if found is None or ".." in found[3].split("/"):
            return None
        pairs = parse_qsl(query, keep_blank_values=True)
        keys = [value for name, value in pairs if name == "key"]
        rest = tuple(pair for pair in pairs if pair[0] != "key")
        return cls(found[1], found[2], found[3], found[4], rest, keys[-1] if keys else None)

    @property
    def turn(self) -> bool:
        """Whether the model answers; what it does not (counting tokens, embeddings) is only forwarded."""
        return self.method in ("generateContent", "streamGenerateContent")

    @property
    def stream(self) -> bool:
        return self.method == "streamGenerateContent"

    @property
    def events(self) -> bool:
        """Whether the stream was asked for as server-sent events; else it is a JSON array."""
        return any(name in _ALT and value == "sse" for name, value in self.query)

    def url(self, model: str | None = None) -> str:
        """Path and query for the upstream, relative to its base URL; `model` instead of the one asked for."""
        collection, name = self.collection, model or self.model
        for known in ("models", "tunedModels"):
            if model is not None and model.startswith(known + "/"):
                collection, name = known, model[len(known) + 1 :]
        path = f"{self.version}/{collection}/{quote(name, safe='/:@')}:{self.method}"
        return f"{path}?{urlencode(self.query)}" if self.query else path
