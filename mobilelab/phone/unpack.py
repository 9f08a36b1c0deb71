"""Unpack Debian packages and wheels into a folder: without root, and never outside of it."""

from __future__ import annotations

import io
import os
import posixpath
import shutil
import tarfile
import zipfile
from pathlib import Path

from mobilelab.phone.errors import PhoneError
from mobilelab.phone.lock import Part


def unpack(part: Part, path: Path, target: Path) -> None:
    """Unpack one part below ``target``: packages into ``host`` and ``guest``, wheels into ``site``.

    Raises:
        PhoneError: if the archive cannot be read, or wants to write outside of its folder.
    """
    folder = target / ("site" if part.kind == "wheel" else part.role)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        if part.kind == "wheel":
            _unpack_wheel(part, path, folder)
        else:
            _unpack_deb(part, path, folder)
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, ValueError) as error:
        raise PhoneError(
            f"The package {part.name} {part.version} cannot be unpacked ({error}); "
            "delete the cache folder and run `mobilelab phone fetch` again."
        ) from error


def _inside(name: str, part: Part) -> str:
    """The path, if it stays below the folder that it is unpacked into."""
    clean = posixpath.normpath(name)
    if clean.startswith(("/", "..")) or "\\" in name:
        raise PhoneError(_outside(name, part))
    return clean


def _outside(name: str, part: Part) -> str:
    return f"The package {part.name} wants to write to {name}; it was not unpacked."


def _wanted(name: str, part: Part) -> bool:
    kept = not part.keep or name.startswith(part.keep)
    return kept and not name.startswith(part.drop or ("\0",))


def _unpack_wheel(part: Part, path: Path, folder: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            _inside(entry.filename, part)
            if _wanted(entry.filename, part):
                archive.extract(entry, folder)


def _unpack_deb(part: Part, path: Path, folder: Path) -> None:
    """A package is an ``ar`` archive (deb(5)); the files are in its member ``data.tar.xz``."""
    name, content = _data(path)
    if name != "data.tar.xz":
        raise ValueError(f"it holds {name}, not data.tar.xz")
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:xz") as archive:
        for member in archive:
            clean = _inside(member.name, part)
            if member.issym():
                base = posixpath.dirname(clean)
                if member.linkname.startswith("/"):  # seen from the root of the package
                    member.linkname = posixpath.relpath(member.linkname[1:], base)
                _inside(posixpath.join(base, member.linkname), part)
            if not _wanted(member.name, part):
                continue
            # A link that an earlier member made must not lead out, whatever its text looks like.
            parent = (folder / clean).parent.resolve()
            if not parent.is_relative_to(folder.resolve()) and clean != ".":
                raise PhoneError(_outside(member.name, part))
            if member.isdir():
                (folder / clean).mkdir(parents=True, exist_ok=True)
            elif member.isfile() or member.issym() or member.islnk():
                _put(archive, member, folder / clean)
            else:
                raise ValueError(f"{member.name} is a device")


def _put(archive: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    if member.issym():
        path.symlink_to(member.linkname)
        return
    source = archive.extractfile(member)
    assert source is not None  # it is a file, or a hard link to one
    with path.open("wb") as file:
        shutil.copyfileobj(source, file)
    path.chmod(0o755 if member.mode & 0o111 else 0o644)


def _data(path: Path) -> tuple[str, bytes]:
    """Name and content of a package's ``data`` member."""
    with path.open("rb") as file:
        if file.read(8) != b"!<arch>\n":
            raise ValueError("it is not an ar archive")
        while len(header := file.read(60)) == 60:
            name, size = header[:16].decode().strip().rstrip("/"), int(header[48:58])
            if name.startswith("data.tar"):
                return name, file.read(size)
            file.seek(size + size % 2, os.SEEK_CUR)
    raise ValueError("it holds no data")
