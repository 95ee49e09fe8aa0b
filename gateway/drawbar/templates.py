"""Prompt templates of judges and of simulated users: jinja2, compiled once."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from drawbar.errors import ConfigurationError

if TYPE_CHECKING:
    from jinja2 import Template


@lru_cache(maxsize=256)
def compiled(template: str, whose: str = "A template") -> Template:
    """The template. A name that is not there is an error when it is rendered.

    Raises:
        ConfigurationError: jinja2 cannot read it; the message begins with `whose` and names the line.
    """
    from jinja2 import StrictUndefined, TemplateSyntaxError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    # Not HTML: nothing is escaped. Sandboxed, because templates come from files that others write.
    environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True)
    try:
        return environment.from_string(template)
    except TemplateSyntaxError as error:
        raise ConfigurationError(f"{whose}, line {error.lineno}: {error.message}") from error
