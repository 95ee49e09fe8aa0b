"""How many tokens a request has, where nobody can be asked who knows: litellm's counter.

An estimate: it knows the tokenizers of some models, and takes that of OpenAI's models for all others.
"""

from __future__ import annotations

from typing import Any

import anyio.to_thread

from drawbar.proxy.litellm_library import library
from drawbar.wire.tolerant import dump, load
from drawbar.wire.translator import Chat


async def count_tokens(model: str, asked: Chat) -> int:
    """About how many tokens the model would read."""
    litellm = await library()
    return await anyio.to_thread.run_sync(_counted, litellm, model, asked)


def _counted(litellm: Any, model: str, asked: Chat) -> int:
    messages = load(dump(asked.messages))
    tools = load(dump(asked.tools)) or None
    return int(litellm.token_counter(model=model, messages=messages, tools=tools))
