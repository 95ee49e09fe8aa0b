"""The job's tool."""

from __future__ import annotations

import verifiers.v1 as vf


class SearchToolset(vf.Toolset[vf.SharedToolsetConfig]):  # type: ignore[misc]
    TOOL_PREFIX = "job"

    @vf.tool  # type: ignore[untyped-decorator]
    def search(self, query: str) -> str:
        """Search the pages."""
        return f"Nothing is known of {query}."


if __name__ == "__main__":
    SearchToolset.run()
