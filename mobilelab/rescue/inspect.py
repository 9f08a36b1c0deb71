"""What is in a TorchScript file: kind, versions, operators, quantization, sizes, inputs."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

import torch

from mobilelab.rescue.archive import Archive
from mobilelab.rescue.layers import Weights, all_weights, nodes
from mobilelab.rescue.operators import lacking

#: Highest bytecode version that runtimes of a release read, oldest first.
_READERS = ((5, "1.9"), (7, "1.10"), (9, "1.12"))


#: Methods that torch writes itself, for containers and for bundled inputs.
_HELPER = re.compile(r"^__\w+__$|bundled_inputs|^_generate_bundled")

#: What operators on packed embeddings end in.
_PACKED = ("embedding_byte", "embedding_bag_byte", "embedding_4bit", "embedding_bag_4bit")


@dataclass(frozen=True)
class Contents:
    """What is in a file, before anything is judged."""

    file: str
    kind: str
    bytes: int
    format_version: str
    bytecode_version: int | None
    """``None`` for a file without bytecode."""
    read_by: str
    """Which runtimes load it, in words."""
    operators: dict[str, int]
    """Operator of ``forward`` to how often it stands in the graph, most used first."""
    lacking: tuple[str, ...]
    """Operators that torch 2.1.0, the last Android and iOS packages' release, does not have."""
    quantization: str
    parts: dict[str, int]
    """Part of the archive to its bytes."""
    extra_files: tuple[str, ...]
    bundled_inputs: int
    methods: tuple[str, ...]
    """Methods other than ``forward``."""
    inputs: tuple[str, ...]
    """Name and type of each input of ``forward``."""

    @property
    def rounds(self) -> bool:
        """Whether the network rounds what it computes to int8."""
        return "static" in self.quantization or "dynamic" in self.quantization

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def contents(archive: Archive, module: torch.jit.ScriptModule) -> Contents:
    """Read what is in a file that was loaded.

    Args:
        archive: from :func:`mobilelab.rescue.archive.examine`.
        module: from :func:`mobilelab.rescue.archive.load`.
    """
    found = [*nodes(module.forward.inlined_graph)]
    kinds = (node.kind() for node in found)
    operators = Counter(kind for kind in kinds if not kind.startswith("prim::"))
    own = set(module._c._method_names())
    many = 0
    if "get_num_bundled_inputs" in own:
        many = int(module.get_num_bundled_inputs())
    return Contents(
        file=archive.path.name,
        kind=archive.kind,
        bytes=archive.path.stat().st_size,
        format_version=archive.format_version,
        bytecode_version=archive.bytecode,
        read_by=_readers(archive.bytecode),
        operators=dict(operators.most_common()),
        lacking=tuple(dict.fromkeys(filter(None, map(lacking, found)))),
        quantization=quantization(operators, all_weights(module), archive.halves),
        parts=archive.parts(),
        extra_files=archive.extra,
        bundled_inputs=many,
        methods=tuple(
            sorted(name for name in own if name != module.forward.name and not _HELPER.search(name))
        ),
        inputs=tuple(f"{p.name} {p.type}" for p in module.forward.schema.arguments[1:]),
    )


def _readers(version: int | None) -> str:
    if version is None:
        return "the whole of PyTorch only, not the lite interpreter"
    if version < 4:
        return "runtimes of torch 1.9 to 1.11; later ones read 4 and above"
    since = next((release for highest, release in _READERS if version <= highest), "2.1")
    return f"runtimes of torch {since} and later"


def quantization(operators: dict[str, int], found: list[Weights], halves: bool = False) -> str:
    """Scheme of the weights in words: static or dynamic, by tensor or by channel, or none."""
    words = ["embeddings by row"] if any(name.endswith(_PACKED) for name in operators) else []
    words += ["float16 weights"] if halves else []
    used = [
        name for name in operators
        if name.startswith(("quantized::", "aten::quantized_"))
        and not name.endswith((*_PACKED, "_fp16"))
    ]  # fmt: skip
    if not used:
        return ", ".join(words) or "none"
    dynamic = any("dynamic" in name or name.startswith("aten::quantized_") for name in used)
    static = any("dynamic" not in name and not name.startswith("aten::quantized_") for name in used)
    words += [" and ".join(w for w, on in (("static", static), ("dynamic", dynamic)) if on)]
    weights = [one.weight for one in found if one.weight.is_quantized]
    per_tensor = (torch.per_tensor_affine, torch.per_tensor_symmetric)
    if weights:
        channels = sum(weight.qscheme() not in per_tensor for weight in weights)
        by = (
            "channel"
            if channels == len(weights)
            else "channel and tensor"
            if channels
            else "tensor"
        )
        words.append(f"weights by {by}")
        words.append("symmetric" if all(map(_symmetric, weights)) else "not symmetric")
    return ", ".join(words)


def _symmetric(weight: torch.Tensor) -> bool:
    if weight.qscheme() in (torch.per_tensor_affine, torch.per_tensor_symmetric):
        return weight.q_zero_point() == 0
    return not bool(weight.q_per_channel_zero_points().any())
