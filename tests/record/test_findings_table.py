"""The table of findings that people read is the one that the record is made by."""

from __future__ import annotations

import re
from pathlib import Path

import drawbar.record
from drawbar.record.findings import FINDINGS

README = Path(drawbar.record.__file__).with_name("README.md")


def test_every_finding_is_documented_with_its_weight_and_meaning() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (note|warning|defect) \| (.+) \|$", README.read_text("utf-8"), re.MULTILINE)
    assert rows == [(kind.name, kind.severity, kind.meaning) for kind in FINDINGS.values()]
