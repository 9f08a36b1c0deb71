"""Write docs/causes.md from mobilelab/check/causes.toml."""

from pathlib import Path

from mobilelab.check import diagnosis

if __name__ == "__main__":
    page = Path(__file__).parent.parent / "docs" / "causes.md"
    page.write_text(diagnosis.page(), encoding="utf-8")
