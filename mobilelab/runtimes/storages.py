"""What the pickles of a ``.ptl`` say, read without running any code: tensors and arguments."""

from __future__ import annotations

import io
import pickle
import zipfile

#: torch's storage classes, as a ``.ptl`` names them: element type and bytes per element
_STORAGES = {
    "FloatStorage": ("float32", 4),
    "DoubleStorage": ("float64", 8),
    "HalfStorage": ("float16", 2),
    "BFloat16Storage": ("bfloat16", 2),
    "QInt8Storage": ("qint8", 1),
    "QUInt8Storage": ("quint8", 1),
    "QInt32Storage": ("qint32", 4),
    "LongStorage": ("int64", 8),
    "IntStorage": ("int32", 4),
    "ShortStorage": ("int16", 2),
    "CharStorage": ("int8", 1),
    "ByteStorage": ("uint8", 1),
    "BoolStorage": ("bool", 1),
}


class _Nothing:
    """Stands in for every class and function that a pickle names, so that none is run."""

    name = ""

    def __init__(self, *args: object, **kwargs: object) -> None:
        pass

    def __new__(cls, *args: object, **kwargs: object) -> _Nothing:
        return super().__new__(cls)

    def __setstate__(self, state: object) -> None:
        pass

    def __setitem__(self, key: object, value: object) -> None:
        pass


class _StorageCounter(pickle.Unpickler):
    """Reads which storages a pickle refers to. Resolves no name, so it runs no code."""

    def __init__(self, content: bytes) -> None:
        super().__init__(io.BytesIO(content))
        self.storages: dict[str, tuple[str, int]] = {}

    def find_class(self, module: str, name: str) -> type:
        return type(name, (_Nothing,), {"name": name})

    def persistent_load(self, pid: tuple) -> None:
        _, storage, key, _, elements = pid
        dtype, width = _STORAGES.get(storage.name, (storage.name, 0))
        self.storages[key] = (dtype, elements * width)


def stored_dtypes(archive: zipfile.ZipFile, prefix: str) -> dict[str, int]:
    """Bytes of each element type among the stored tensors, largest first."""
    storages: dict[str, tuple[str, int]] = {}
    for record in ("data.pkl", "bytecode.pkl"):
        counter = _StorageCounter(archive.read(f"{prefix}/{record}"))
        counter.load()
        storages.update({f"{record}:{key}": v for key, v in counter.storages.items()})
    total: dict[str, int] = {}
    for dtype, size in storages.values():
        total[dtype] = total.get(dtype, 0) + size
    return dict(sorted(total.items(), key=lambda item: -item[1]))


def forward_arguments(archive: zipfile.ZipFile, prefix: str) -> list[tuple[str, str, bool]] | None:
    """Of each input of ``forward`` its name, its annotation, and whether it has no default.

    Returns:
        ``None`` where the bytecode does not tell.
    """
    try:
        _, *methods = _StorageCounter(archive.read(f"{prefix}/bytecode.pkl")).load()
        schema = next(rest for name, _, *rest in methods if str(name).endswith(".forward"))
        arguments = [dict(it) for it in dict(schema[0])["arguments"]]
    except (StopIteration, IndexError, KeyError, TypeError, ValueError):
        return None
    return [
        (it["name"], it["type"], it["default_value"] is None and "Optional" not in it["type"])
        for it in arguments[1:]  # the first is the module itself, whatever it is called
    ]
