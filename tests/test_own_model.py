"""The page about one's own model: what it shows, runs."""

import re
import runpy
from pathlib import Path

from mobilelab.phone.compare import compare
from mobilelab.phone.machine import Phone

PAGE = Path(__file__).parent.parent / "docs" / "own-model.md"


def test_the_page_runs(tmp_path, monkeypatch, capsys):
    text = PAGE.read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)
    script = tmp_path / "own_model.py"  # TorchScript wants to read the source
    script.write_text("\n".join(blocks))
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(script))
    said = capsys.readouterr().out.splitlines()
    for line, ending in zip(said, ("ptl", "pte"), strict=False):
        assert line.startswith(f"reader.{ending} same: ")
        assert line.endswith("100.0% of 40 decisions of all heads agree")
    assert re.fullmatch(r"\d+ kB and \d+ kB", said[2])
    assert said[-1].startswith("reader.pte takes 2 inputs, ") and "got int64 (1, 12)" in said[-1]
    for thing in (Phone, compare):
        assert f"from {thing.__module__} import {thing.__name__}\n" in text
