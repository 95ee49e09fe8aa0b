"""Rules of live scoring in the configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from drawbar.config.made import environments_of, settings_of
from drawbar.config.reading import Effective, read_configuration
from drawbar.errors import ConfigurationError
from drawbar.score.live_rule import LiveRule

SERVERS = '[servers.shop]\nurl = "http://127.0.0.1:9/mcp"\n'


def read(folder: Path, text: str) -> Effective:
    path = folder / "drawbar.toml"
    path.write_text(text + SERVERS)
    return read_configuration(path, variables={})


def test_rules_become_settings(tmp_path: Path) -> None:
    effective = read(tmp_path, 'score_live = ["tools:0.5,model=gpt-*,judge_cost=2", "tools,all"]\n')
    first = LiveRule(environment="tools", rate=0.5, model="gpt-*", judge_cost=2.0)
    assert settings_of(effective).score_live == (first, LiveRule(environment="tools", all=True))
    assert list(environments_of(effective)) == ["tools"]


def test_a_rule_that_cannot_be_read_is_told_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"drawbar\.toml.*1.*score_live.*colour"):
        settings_of(read(tmp_path, 'score_live = ["tools,colour=red"]\n'))


def test_a_rubric_that_is_not_served_is_told_before_anything_is(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="Did you mean 'tools'"):
        environments_of(read(tmp_path, 'score_live = ["tool"]\n'))
