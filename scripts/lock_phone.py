"""Make mobilelab/phone/lock.json: what the virtual phone is built from, pinned by checksum.

    python scripts/lock_phone.py

Debian's own index says which packages are current in the chosen release; pip says what the package
index holds. Run it again when ``mobilelab phone fetch`` no longer finds a package.
"""

import hashlib
import json
import lzma
import subprocess
import sys
import tempfile
import urllib.request
from email.utils import parsedate_to_datetime
from pathlib import Path

from mobilelab.phone.download import DEBIAN, pip_download
from mobilelab.phone.lock import LOCK

SUITE = "bookworm"
#: What qemu-aarch64 links to, down to the C library, so that it runs on any Linux. Of qemu-user's
#: seventy emulators one is kept.
HOST = {
    ("qemu-user",): ["./usr/bin/qemu-aarch64"],
    ("libc6",): ["./lib/", "./lib64/"],
    (
        "libcapstone4", "libgcc-s1", "libglib2.0-0", "libpcre2-8-0", "libgnutls30", "libnettle8",
        "libhogweed6", "libgmp10", "libidn2-0", "libunistring2", "libp11-kit0", "libffi8",
        "libtasn1-6", "libnuma1", "liburing2", "zlib1g",
    ): ["./lib/", "./usr/lib/"],
}  # fmt: skip
#: An arm64 Python with the part of its standard library that torch imports.
GUEST = {
    (
        "python3.11-minimal", "libpython3.11-minimal", "libpython3.11-stdlib", "libc6",
        "libgcc-s1", "libstdc++6", "zlib1g", "libexpat1", "libffi8", "libbz2-1.0", "liblzma5",
        "libssl3", "libcrypt1", "libuuid1",
    ): ["./lib/", "./usr/lib/", "./usr/bin/python3.11"],
}  # fmt: skip
#: torch 2.1.0 is the release of the last published Android and iOS artefacts.
TORCH = "torch==2.1.0"
#: What ``import torch`` needs, pure Python; its other requirements are imported later or never.
PURE = ("typing_extensions==4.12.2", "sympy==1.13.3", "mpmath==1.3.0")
#: ExecuTorch for ARM: the pair that runs on a Cortex-A53, too. torch 2.10.0 uses instructions that
#: this core lacks, and 2.12.1 is a CUDA build there.
EXECUTORCH = ("torch==2.9.1", "executorch==1.0.1")
WHEELS = [
    ("arm", "manylinux2014_aarch64", TORCH),
    ("mac", "macosx_11_0_arm64", TORCH),
    *(("any", "any", wheel) for wheel in PURE),
    *(("executorch", "manylinux_2_28_aarch64", wheel) for wheel in EXECUTORCH),
    # numpy of the generation that torch 2.1.0 knows: the guest's tensors come and go through it
    ("litert", "manylinux2014_aarch64", "numpy==1.26.4"),
    ("litert", "manylinux_2_27_aarch64", "ai-edge-litert==2.3.0"),
]
#: Of a wheel's files, those that are not unpacked, and of one wheel those that are.
DROP = ["torch/include/", "torch/bin/protoc", "torch/test/", "torch/share/"]
PARTLY = {
    "executorch": {"keep": ["executorch/extension/pybindings/", "executorch/version.py"]},
    "ai-edge-litert": {
        "drop": [
            "ai_edge_litert/libLiteRtWebGpuAccelerator.so", "ai_edge_litert/tools/",
            "ai_edge_litert/aot/",
        ]
    },
}  # fmt: skip


def debian() -> tuple[str, list[dict]]:
    """The date of the release, and one entry per package."""
    release = _get(f"dists/{SUITE}/Release").decode()
    date = next(line[6:] for line in release.splitlines() if line.startswith("Date: "))
    entries = []
    for role, arch, wanted in (("host", "amd64", HOST), ("guest", "arm64", GUEST)):
        index = lzma.decompress(_get(f"dists/{SUITE}/main/binary-{arch}/Packages.xz")).decode()
        found = {}
        for stanza in index.split("\n\n"):
            fields = dict(line.split(": ", 1) for line in stanza.splitlines() if ": " in line)
            found[fields.get("Package")] = fields
        for name, keep in [(name, keep) for names, keep in wanted.items() for name in names]:
            fields = found[name]
            entries.append({
                "kind": "deb", "role": role, "name": name, "version": fields["Version"],
                "source": fields["Filename"], "size": int(fields["Size"]),
                "sha256": fields["SHA256"], "keep": keep,
            })  # fmt: skip
    return parsedate_to_datetime(date).strftime("%Y%m%dT%H%M%SZ"), entries


def wheels() -> list[dict]:
    """One entry per wheel; pip downloads each to weigh it."""
    entries = []
    for role, platform, wanted in WHEELS:
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run(pip_download(wanted, platform, folder), check=True)
            (path,) = Path(folder).iterdir()
            name, version = wanted.split("==")
            entries.append({
                "kind": "wheel", "role": role, "name": name, "version": version,
                "source": path.name, "platform": platform, "size": path.stat().st_size,
                "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
                **PARTLY.get(name, {"drop": DROP}),
            })  # fmt: skip
    return entries


def _get(path: str) -> bytes:
    with urllib.request.urlopen(DEBIAN + path) as response:
        return response.read()


def main() -> int:
    date, debs = debian()
    lock = {"suite": SUITE, "snapshot": date, "parts": debs + wheels()}
    LOCK.write_text(json.dumps(lock, indent=1) + "\n")
    print(f"{LOCK.name}: {len(lock['parts'])} parts")
    return 0


if __name__ == "__main__":
    sys.exit(main())
