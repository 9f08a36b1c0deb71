"""Write down the operators of torch 2.1.0, the last Android and iOS packages' release.

    python scripts/phone_operators.py

Asks the torch of the virtual phone (``mobilelab phone fetch``), so nobody has typed them. One line
for each operator: its name and its overloads, ``-`` for the one without a name.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from mobilelab.phone.machine import Phone

LIST = Path(__file__).parent.parent / "mobilelab" / "rescue" / "phone_operators.txt"
#: What the guest's Python runs. Operators of gradients are no part of a file for a phone.
ASKED = """
import torch
found = {}
for schema in torch._C._jit_get_all_schemas():
    name = schema.name
    if name.split("::")[0] in ("aten", "prim", "quantized", "prepacked", "_quantized", "mkldnn"):
        if "backward" not in name and "foreach" not in name and "out" not in schema.overload_name:
            found.setdefault(name, set()).add(schema.overload_name or "-")
print("torch", torch.__version__)
for name in sorted(found):
    print(name, *sorted(found[name]))
"""


def main() -> int:
    phone = Phone()
    with tempfile.TemporaryDirectory() as folder:
        phone._room = Path(folder)
        asked = phone._room / "asked.py"
        asked.write_text(ASKED)
        command = [*phone._command(), str(asked)]
        done = subprocess.run(command, env=phone._environment(), capture_output=True, text=True)
    lines = done.stdout.splitlines()
    if done.returncode or len(lines) < 1000 or not lines[0].startswith("torch 2.1.0"):
        print(f"The phone did not tell: {done.stderr.strip()[-500:]}", file=sys.stderr)
        return 1
    LIST.write_text(done.stdout, encoding="utf-8")
    print(f"{len(lines) - 1} operators of {lines[0]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
