"""The virtual phone. What needs its parts is skipped without them, unless REQUIRE is set."""

import ctypes
import errno
import http.server
import io
import json
import os
import queue
import random
import re
import signal
import struct
import subprocess
import tarfile
import threading
import time
import zipfile
from functools import partial
from hashlib import sha256

import numpy as np
import pytest
import torch
from rich.console import Console
from typer.testing import CliRunner

from mobilelab import measure
from mobilelab.cli import main as cli
from mobilelab.core.errors import ModelFileError
from mobilelab.phone import cache, counter, download, fetch, lock, unpack
from mobilelab.phone.compare import FLOAT_BOUND, compare, contents
from mobilelab.phone.cores import CORES
from mobilelab.phone.errors import NoCounter, PhoneError, Refused
from mobilelab.phone.lock import Part
from mobilelab.phone.machine import Phone
from mobilelab.recipes import variants
from mobilelab.tasks import Classification, Heads, Regression

REQUIRE = "MOBILELAB_REQUIRE_PHONE"


# --- fetching, on small files from a server on this machine ---------------------------------


def archive(members):
    """A tar.xz of files (bytes) and symbolic links (str)."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:xz") as tar:
        for name, what in members.items():
            info = tarfile.TarInfo(name)
            if isinstance(what, str):
                info.type, info.linkname = tarfile.SYMTYPE, what
                tar.addfile(info)
            else:
                info.size, info.mode = len(what), 0o755
                tar.addfile(info, io.BytesIO(what))
    return content.getvalue()


def deb(members):
    """A Debian package: an ar archive of three members."""
    content = b"!<arch>\n"
    for name, data in (("debian-binary", b"2.0\n"), ("control.tar.xz", b"odd"),
                       ("data.tar.xz", archive(members))):  # fmt: skip
        content += f"{name:16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(data):<10}`\n".encode()
        content += data + b"\n" * (len(data) % 2)
    return content


GOOD = {"./usr/bin/tool": b"tool", "./usr/share/doc/x": b"doc", "./usr/lib/a": "/usr/bin/tool"}


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """Serve files; returns (put, address, requests)."""
    folder = tmp_path / "mirror"
    folder.mkdir()
    asked = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            asked.append(self.path)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv(cache.PLACE, str(tmp_path / "cache"))

    def put(name, content, **changes):
        (folder / name).write_bytes(content)
        facts = {"size": len(content), "sha256": sha256(content).hexdigest(), **changes}
        return Part("deb", "guest", name, "1", name, keep=("./usr/bin/", "./usr/lib/"), **facts)

    yield put, f"http://127.0.0.1:{server.server_port}/", asked
    server.shutdown()
    server.server_close()


def bring(parts, *addresses):
    said = io.StringIO()
    return fetch.fetch(Console(file=said, width=200), parts, addresses), said


def test_a_package_is_fetched_once_and_unpacked_in_part(mirror):
    put, address, asked = mirror
    part = put("tool", deb(GOOD))
    folder, said = bring([part], address)
    assert (folder / "guest/usr/bin/tool").read_bytes() == b"tool"
    assert os.access(folder / "guest/usr/bin/tool", os.X_OK)
    # an absolute link is meant below the package's root
    assert (folder / "guest/usr/lib/a").read_bytes() == b"tool"
    assert not (folder / "guest/usr/share").exists()
    assert not (cache.root() / "downloads").exists()
    assert "unpacking tool" in said.getvalue()
    bring([part], address)
    assert asked == ["/tool"]


def test_a_wrong_checksum_is_one_sentence_and_leaves_no_file(mirror):
    put, address, _ = mirror
    content = deb(GOOD)
    part = put("tool", content[:-1] + b"!", sha256=sha256(content).hexdigest())
    with pytest.raises(PhoneError, match="tool 1 is not the file .* SHA-256 differs"):
        bring([part], address)
    assert list((cache.root() / "downloads").iterdir()) == []
    assert not cache.place([part]).exists()


def test_a_download_that_goes_on_is_stopped(mirror, monkeypatch):
    put, address, _ = mirror
    content = deb(GOOD)
    part, told = put("tool", content + bytes(1 << 20), size=len(content)), []
    with pytest.raises(PhoneError, match="tool 1 is not the file"):
        download.download(part, cache.root() / "downloads" / "tool", (address,), told.append)
    assert told == [] and list((cache.root() / "downloads").iterdir()) == []


def test_an_interrupted_download_starts_again_and_keeps_the_rest(mirror):
    put, address, asked = mirror
    first, content = put("first", deb(GOOD)), deb({"./usr/bin/second": b"2"})
    second = put("second", content[:100], size=len(content), sha256=sha256(content).hexdigest())
    with pytest.raises(PhoneError, match=rf"connection ended after 100 of {len(content)} bytes"):
        bring([first, second], address)
    put("second", content)
    folder, _ = bring([first, second], address)
    assert (folder / "guest/usr/bin/second").read_bytes() == b"2"
    assert asked == ["/first", "/second", "/second"]


def test_a_kill_while_unpacking_leaves_nothing_that_counts(mirror, monkeypatch):
    put, address, _ = mirror
    part = put("tool", deb(GOOD))
    with monkeypatch.context() as patch:

        def killed(*args):
            raise KeyboardInterrupt

        patch.setattr(fetch, "unpack", killed)
        with pytest.raises(KeyboardInterrupt):
            bring([part], address)
    assert not (cache.place([part]) / "complete").exists()
    folder, _ = bring([part], address)
    assert (folder / "guest/usr/bin/tool").read_bytes() == b"tool"


def test_the_second_source_is_asked_when_the_first_has_moved_on(mirror):
    put, address, asked = mirror
    part = put("tool", deb(GOOD))
    folder, _ = bring([part], address + "gone/", address)
    assert (folder / "complete").exists()
    assert "/gone/tool" in asked


def test_no_network_is_one_sentence(mirror):
    put, _, _ = mirror
    with pytest.raises(PhoneError, match="Could not download tool 1 .* connect to a network"):
        bring([put("tool", deb(GOOD))], "http://127.0.0.1:9/")


def test_before_the_first_fetch_one_sentence_says_how_much(tmp_path, monkeypatch):
    monkeypatch.setenv(cache.PLACE, str(tmp_path))
    monkeypatch.setattr(lock, "way", lambda: "emulated")
    with pytest.raises(PhoneError, match=r"run `mobilelab phone fetch` once \(1\d\d MB\)"):
        Phone()


@pytest.mark.parametrize(
    "members",
    [
        {"../../outside": b"x"},
        {"/etc/outside": b"x"},
        {"./usr/lib/out": "../../../outside"},
        {
            "./usr/bin/t": b"",
            "./usr/lib/d": "../bin",
            "./usr/lib/up": "d/../../..",
            "./usr/lib/up/new/outside": b"x",
        },
    ],
)
def test_no_package_writes_outside(mirror, tmp_path, members):
    put, address, _ = mirror
    with pytest.raises(PhoneError, match="wants to write to .*; it was not unpacked"):
        bring([put("evil", deb(members))], address)
    assert not list(tmp_path.rglob("outside")) and not list(tmp_path.rglob("new"))


def test_no_wheel_writes_outside(tmp_path):
    path = tmp_path / "evil.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("../outside", "x")
    part = Part("wheel", "any", "evil", "1", path.name, 0, "")
    with pytest.raises(PhoneError, match="evil wants to write to ../outside"):
        unpack.unpack(part, path, tmp_path / "in" / "there")
    assert not list(tmp_path.rglob("outside"))


def test_what_is_no_package_is_one_sentence(mirror):
    put, address, _ = mirror
    with pytest.raises(PhoneError, match="cannot be unpacked .it is not an ar archive."):
        bring([put("tool", b"<html>log in first</html>")], address)


def test_of_two_that_fetch_at_once_the_second_waits_and_finds_it_done(mirror, monkeypatch):
    put, address, asked = mirror
    part = put("tool", deb(GOOD))
    said = {"first": io.StringIO(), "second": io.StringIO()}
    folders, begun, go_on = [], queue.Queue(), threading.Event()

    def halfway(*arguments):
        begun.put(arguments)
        go_on.wait()
        download.download(*arguments)

    def go(name):
        console = Console(file=said[name], width=200)
        folders.append(fetch.fetch(console, [part], (address,)))

    monkeypatch.setattr(fetch, "download", halfway)
    threads = [threading.Thread(target=go, args=[name]) for name in said]
    try:
        threads[0].start()
        begun.get(timeout=60)
        threads[1].start()
        while begun.empty() and threads[1].is_alive() and not said["second"].getvalue():
            time.sleep(0.01)
        assert begun.empty() and asked == [] == folders
    finally:
        go_on.set()
        for thread in threads:
            thread.join()
    assert said["second"].getvalue().splitlines() == [
        "Another process is fetching the virtual phone; waiting for it."
    ]
    assert folders == [cache.place([part])] * 2 and (folders[0] / "complete").exists()
    assert asked == ["/tool"]


def test_a_folder_of_pips_that_is_gone_in_mid_count_is_passed_over(tmp_path, monkeypatch):
    """pip removes its own folders while the largest file in them is looked for."""
    (tmp_path / "pip-unpack-x").mkdir()
    (tmp_path / "torch.whl").write_bytes(b"123")
    scandir = os.scandir

    def too_late(folder):
        if os.path.basename(folder) == "pip-unpack-x":
            os.rmdir(folder)
        return scandir(folder)

    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", too_late)
        assert download._largest(tmp_path) == 3
    assert not (tmp_path / "pip-unpack-x").exists()


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.ENOSPC, "free some space"),
        (errno.EACCES, "folder that you may write to"),
        (errno.EROFS, "folder that you may write to"),
        (errno.ENOENT, "run `mobilelab phone fetch` again"),
        (errno.EIO, "run `mobilelab phone fetch` again"),
    ],
)
def test_what_the_system_refuses_is_named_and_the_advice_fits(mirror, monkeypatch, number, advice):
    put, address, _ = mirror

    def refuse(*_):
        raise OSError(number, os.strerror(number), "/some/where")

    monkeypatch.setattr(fetch, "download", refuse)
    with pytest.raises(PhoneError) as caught:
        bring([put("tool", deb(GOOD))], address)
    said = str(caught.value)
    assert said.startswith(f"Cannot keep the virtual phone in {cache.root()}")
    assert f"({os.strerror(number)}: /some/where); " in said and advice in said
    assert ("space" in said) == (number == errno.ENOSPC)


def test_a_file_in_place_of_the_cache_is_one_sentence(mirror, tmp_path, monkeypatch):
    put, address, _ = mirror
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv(cache.PLACE, str(tmp_path / "file"))
    with pytest.raises(PhoneError, match=rf"Not a directory: .*set {cache.PLACE} to another"):
        bring([put("tool", deb(GOOD))], address)


@pytest.mark.parametrize(
    ("system", "machine_name"), [("Windows", "AMD64"), ("Darwin", "x86_64"), ("Linux", "riscv64")]
)
def test_other_computers_get_one_sentence(monkeypatch, system, machine_name):
    monkeypatch.setattr(lock.platform, "system", lambda: system)
    monkeypatch.setattr(lock.platform, "machine", lambda: machine_name)
    with pytest.raises(PhoneError, match=f"not on {system} {machine_name.lower()}"):
        lock.way()


def test_the_lock_names_every_part_with_size_and_checksum():
    everything = json.loads(lock.LOCK.read_text())
    assert re.fullmatch(r"\d{8}T\d{6}Z", everything["snapshot"])
    for way in ("emulated", "native", "mac"):
        found = lock.parts(way)
        assert [part.version for part in found if part.name == "torch"] == ["2.1.0"]
        assert all(re.fullmatch("[0-9a-f]{64}", part.sha256) and part.size for part in found)
    assert not [part for part in lock.parts("native") if "qemu" in part.name]


# --- counting: the decoder against a disassembler that others wrote -------------------------


@pytest.fixture(scope="session")
def cc():
    try:
        return counter.compiler()
    except NoCounter as error:
        if os.environ.get(REQUIRE):
            raise
        pytest.skip(str(error))


def test_without_a_compiler_there_is_a_sentence_and_no_figure(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    with pytest.raises(NoCounter, match="no C compiler .* there is no figure"):
        counter.build_plugin(tmp_path)


@pytest.fixture(scope="session")
def products(cc, tmp_path_factory):
    """``products`` of count.c; what it needs of qemu is given by an empty stand-in."""
    folder = tmp_path_factory.mktemp("count")
    names = re.findall(r"\b(qemu_plugin_\w+)\(", counter.PLUGIN.read_text())
    names = sorted(set(names) - {"qemu_plugin_install"})
    (folder / "stand_in.c").write_text("".join(f"void {name}(void) {{}}\n" for name in names))
    library = folder / "count.so"
    subprocess.run(
        [cc, "-O1", "-shared", "-fPIC", "-o", library, counter.PLUGIN, folder / "stand_in.c"],
        check=True,
    )  # fmt: skip
    function = ctypes.CDLL(str(library)).products
    function.argtypes, function.restype = [ctypes.c_uint32], ctypes.c_uint
    return function


@pytest.mark.parametrize(
    ("word", "expected", "text"),
    [
        (0x4F811010, 4, "fmla v16.4s, v0.4s, v1.s[0]"),
        (0x4E21CC10, 4, "fmla v16.4s, v0.4s, v1.4s"),
        (0x0E21CC10, 2, "fmla v16.2s, v0.2s, v1.2s"),
        (0x4E61CC10, 2, "fmla v16.2d, v0.2d, v1.2d"),
        (0x1F010C02, 1, "fmadd s2, s0, s1, s3"),
        (0x0F402010, 4, "smlal v16.4s, v0.4h, v0.h[0]"),
        (0x4F402010, 4, "smlal2 v16.4s, v0.8h, v0.h[0]"),
        (0x0E208010, 8, "smlal v16.8h, v0.8b, v0.8b"),
        (0x4E829410, 16, "sdot v16.4s, v0.16b, v2.16b"),
        (0x4F82E010, 16, "sdot v16.4s, v0.16b, v2.4b[0]"),
        (0x9B020C20, 0, "madd x0, x1, x2, x3"),
        (0x4E21D410, 0, "fadd v16.4s, v0.4s, v1.4s"),
        (0x6E21DC10, 0, "fmul v16.4s, v0.4s, v1.4s"),
        (0xD65F03C0, 0, "ret"),
    ],
)
def test_products_of_known_instructions(products, word, expected, text):
    assert products(word) == expected, text


class Disassembled(ctypes.Structure):
    """``cs_insn`` of capstone 4."""

    _fields_ = (("id", ctypes.c_uint), ("address", ctypes.c_uint64), ("size", ctypes.c_uint16),
                ("bytes", ctypes.c_uint8 * 16), ("mnemonic", ctypes.c_char * 32),
                ("operands", ctypes.c_char * 160), ("detail", ctypes.c_void_p))  # fmt: skip


def disassembler(folder):
    """Word to (mnemonic, operands), or ``None`` if it is no instruction."""
    library = ctypes.CDLL(str(folder / "host/usr/lib/x86_64-linux-gnu/libcapstone.so.4"))
    handle = ctypes.c_size_t()
    assert library.cs_open(1, 0, ctypes.byref(handle)) == 0  # 1 is ARM64
    made = ctypes.POINTER(Disassembled)()
    library.cs_disasm.restype = ctypes.c_size_t
    library.cs_disasm.argtypes = [ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t,
                                  ctypes.c_uint64, ctypes.c_size_t, ctypes.c_void_p]  # fmt: skip
    library.cs_free.argtypes = [ctypes.c_void_p, ctypes.c_size_t]

    def text(word):
        if not library.cs_disasm(handle, struct.pack("<I", word), 4, 0, 1, ctypes.byref(made)):
            return None
        found = made[0].mnemonic.decode(), made[0].operands.decode()
        library.cs_free(made, 1)
        return found

    return text


VECTOR_MACS = (
    "fmla fmls mla mls smlal umlal smlsl umlsl sqdmlal sqdmlsl sqrdmlah sqrdmlsh sdot udot"
)


def expected_products(mnemonic, operands):
    """From the assembler text: as many products as the destination has lanes."""
    if mnemonic in ("fmadd", "fmsub", "fnmadd", "fnmsub"):
        return 1
    base = mnemonic.removesuffix("2") if "lal" in mnemonic or "lsl" in mnemonic else mnemonic
    if base not in VECTOR_MACS.split():
        return 0
    lanes = re.match(r"v\d+\.(\d+)[bhsd]", operands)
    if not lanes:  # scalars; of the integer ones, count.c says that it leaves them out
        return int(base in ("fmla", "fmls"))
    return int(lanes[1]) * (4 if base in ("sdot", "udot") else 1)


def test_the_decoder_agrees_with_a_disassembler(parts, products):
    if lock.way() != "emulated":
        pytest.skip("the disassembler is part of the emulator's packages")
    text, generator = disassembler(parts), random.Random(0)
    seen, wrong = set(), []
    tops = [0x0E, 0x2E, 0x4E, 0x6E, 0x0F, 0x2F, 0x4F, 0x6F, 0x1F, 0x1E, 0x1B, 0x9B]
    for i in range(120_000):
        # half of them vector and multiply instructions, half anything
        word = generator.getrandbits(32)
        if i % 2:
            word = word & 0x00FFFFFF | generator.choice(tops) << 24
        found = text(word)
        if found is None:
            continue  # not an instruction, or younger than this disassembler
        expected = expected_products(*found)
        if expected:
            seen.add(found[0])
        if products(word) != expected:
            wrong.append(f"{word:08x} {' '.join(found)}: {products(word)}, expected {expected}")
    assert wrong == []
    assert {"fmla", "fmls", "mla", "smlal", "umlal2", "fmadd", "sqdmlal"} <= seen


# --- the real thing -------------------------------------------------------------------------


@pytest.fixture(scope="session")
def parts():
    """The phone's folder; fetched now if a network is there."""
    try:
        return fetch.fetch(Console(stderr=True))
    except PhoneError as error:
        if os.environ.get(REQUIRE):
            raise
        pytest.skip(f"no virtual phone here: {error}")


@pytest.fixture(scope="session")
def phone(parts):
    with Phone("cortex-a53") as phone:
        yield phone


@pytest.fixture(scope="session")
def files(walk):
    """The two models: name to .ptl."""
    return {name: one.path for name, one in walk(*variants.named("mobile", "mobile-int8")).items()}


def altered(source, target, old, new):
    """A copy with one piece of its bytecode replaced, and right checksums."""
    with zipfile.ZipFile(source) as archive, zipfile.ZipFile(target, "w") as copy:
        for name in archive.namelist():
            content = archive.read(name)
            if name.endswith("bytecode.pkl"):
                assert old in content
                content = content.replace(old, new, 1)
            copy.writestr(name, content)
    return target


def flipped(source, target, record="constants/0.storage", byte=3, bit=0x40):
    """A copy in which one bit of the first weights is turned over."""
    content = bytearray(source.read_bytes())
    with zipfile.ZipFile(source) as archive:
        (name,) = [n for n in archive.namelist() if n.endswith(record)]
        start = content.find(archive.read(name))
    assert start > 0
    content[start + byte] ^= bit
    target.write_bytes(content)
    return target


def test_int8_is_identical(phone, files, data):
    """On some images; chapter 07 takes the whole test split."""
    images, labels = data.test.images[:60], data.test.labels[:60]
    result = compare(files["mobile-int8"], images, labels, phone)
    assert result.quantized and result.verdict == "identical", str(result)
    assert result.images == 60 and result.max_abs == 0
    assert result.host_accuracy == result.phone_accuracy >= 0.95


def test_float_is_the_same_up_to_rounding(phone, files, data):
    images, labels = data.test.images[:40], data.test.labels[:40]
    result = compare(files["mobile"], images, labels, phone, batch_size=20)
    assert result.verdict == "same", str(result)
    assert 0 < result.rel_l2 <= FLOAT_BOUND and not result.identical
    assert result.agreement == 1.0


def test_the_phone_knows_what_the_file_says(phone, files):
    for name, path in files.items():
        loaded = phone.load(path)
        assert (loaded.bytecode_version, loaded.operators) == contents(path), name
        assert loaded.engine == "qnnpack"


def test_one_altered_byte_is_red(phone, files, data, tmp_path):
    bad = flipped(files["mobile"], tmp_path / "bad.ptl")
    with pytest.raises(ModelFileError, match="checksum"):
        compare(bad, data.test.images, data.test.labels, phone)
    # The phone's own loader takes it without a word, and answers wrongly.
    images = data.test.images[:10]
    assert phone.load(bad).bytecode_version == 8
    here = measure.scores(torch.jit.mobile._load_for_lite_interpreter(str(files["mobile"])), images)
    there = phone.run(bad, images.numpy())
    assert not np.allclose(here.numpy(), there, rtol=0.1)


def test_another_engine_is_red(parts, files, data):
    images, labels = data.test.images[:10], data.test.labels[:10]
    # Nobody set one: torch takes oneDNN, and answers a little otherwise without a word.
    with Phone("cortex-a53", engine=None) as phone:
        result = compare(files["mobile-int8"], images, labels, phone)
        assert result.engine == "onednn"
        assert result.verdict == "DIFFERENT" and not result.ok
        phone.engine = "none"
        result = compare(files["mobile-int8"], images, labels, phone)
        assert result.verdict == "refused" and not result.ok and not result.missing
        assert "Unknown qengine" in result.refusal
        phone.engine = "fbgemm"
        with pytest.raises(Refused, match="FBGEMM is not supported"):
            phone.load(files["mobile-int8"])


def test_a_missing_operator_is_red_and_named(phone, files, data, tmp_path):
    bad = altered(files["mobile"], tmp_path / "new.ptl", b"aten::flatten", b"aten::flattex")
    result = compare(bad, data.test.images[:2], data.test.labels[:2], phone)
    assert result.verdict == "refused" and not result.ok
    assert result.missing == ("aten::flattex.using_ints",)


def test_an_operator_younger_than_the_phone_is_named(phone, data, tmp_path):
    class Young(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch._safe_softmax(x.flatten(1), 1)

    path = tmp_path / "young.ptl"
    torch.jit.script(Young())._save_for_lite_interpreter(str(path))
    result = compare(path, data.test.images[:2], data.test.labels[:2], phone)
    assert result.missing == ("aten::_safe_softmax",) and not result.ok


def test_bytecode_that_is_too_new_is_refused_in_its_own_words(phone, files, data, tmp_path):
    bad = altered(files["mobile"], tmp_path / "new.ptl", b"\x80\x02K\x08", b"\x80\x02K\x0a")
    result = compare(bad, data.test.images[:2], data.test.labels[:2], phone)
    assert result.bytecode_version == 10 and result.verdict == "refused"
    assert "between 4 and 9 but the model version is 10" in result.refusal


def test_a_backport_runs(phone, files, data, tmp_path):
    old = tmp_path / "v5.ptl"
    assert torch.jit.mobile._backport_for_mobile(str(files["mobile-int8"]), str(old), 5)
    images, labels = data.test.images[:10], data.test.labels[:10]
    result = compare(old, images, labels, phone)
    assert result.bytecode_version == 5 and result.verdict == "identical"


def test_a_wrong_input_is_the_runtimes_own_error(phone, files):
    with pytest.raises(Refused, match="fails to run mobile-int8.ptl"):
        phone.run(files["mobile-int8"], np.zeros((1, 2, 32, 32), np.float32))
    with pytest.raises(Refused, match="Quantize only works on Float Tensor, got Double"):
        phone.run(files["mobile-int8"], np.zeros((1, 1, 32, 32)))
    for wrong, words in (
        (
            np.zeros((0, 1, 32, 32), np.float32),
            r"same n > 0 examples .* got float32 \(0, 1, 32, 32\)",
        ),
        (np.float32(1.0), r"got float32 \(\)"),
        ([np.zeros((2, 3)), np.zeros((3, 3))], r"got float64 \(2, 3\), float64 \(3, 3\)"),
        ([], "got none"),
        (np.array(["3"]), "not <U1"),
    ):
        with pytest.raises(PhoneError, match=words):
            phone.run(files["mobile-int8"], wrong)
    with pytest.raises(PhoneError, match="no file nowhere.ptl"):
        phone.load("nowhere.ptl")


class Reader(torch.nn.Module):
    """Two inputs, of which one counts, and answers of two types under names."""

    def __init__(self):
        super().__init__()
        self.words, self.out = torch.nn.Embedding(50, 16), torch.nn.Linear(16, 4)

    def forward(self, tokens: torch.Tensor, weight: torch.Tensor) -> dict[str, torch.Tensor]:
        scores = self.out((self.words(tokens) * weight.unsqueeze(2)).mean(1))
        return {"scores": scores, "best": scores.argmax(1)}


class Counter(torch.nn.Module):
    """Adds what it is given to a state, which it gives back."""

    def forward(self, x: torch.Tensor, state: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x.mul_(2)
        return x + state, state + 1


def saved_for_phones(module, path):
    torch.jit.script(module.eval())._save_for_lite_interpreter(str(path))
    return path


def test_any_inputs_and_outputs_go_over(phone, tmp_path):
    torch.manual_seed(0)
    path = saved_for_phones(Reader(), tmp_path / "reader.ptl")
    inputs = [torch.randint(0, 50, (30, 12)), torch.rand(30, 12)]
    heads = Heads({"scores": Classification(), "best": Regression()})
    result = compare(path, inputs, None, phone, 10, heads)
    assert result.verdict == "same" and result.images == 60, str(result)
    there = phone.run(path, [x.numpy() for x in inputs], batch_size=None)
    assert {name: leaf.dtype.name for name, leaf in there.items()} == {
        "scores": "float32", "best": "int64"
    }  # fmt: skip
    with pytest.raises(Refused, match="fails to run reader.ptl"):
        phone.run(path, inputs[0].numpy())


def test_inputs_are_sent_anew_and_a_state_comes_back(phone, tmp_path):
    path = saved_for_phones(Counter(), tmp_path / "counter.ptl")
    x, state = np.ones((3, 2), np.float32), np.full((1, 2), 5.0, np.float32)
    for _ in range(2):
        answer, after = phone.run(path, [x, state], batch_size=None).values()
        assert answer.tolist() == [[7, 7]] * 3 and after.tolist() == [[6, 6]]
    assert x.min() == x.max() == 1


def test_a_phone_that_dies_says_why_and_the_next_request_starts_another(parts, files, data):
    with Phone("cortex-a53") as phone:
        phone._launch()
        phone._process.send_signal(signal.SIGKILL)
        with pytest.raises(PhoneError, match="was killed, often for want of memory"):
            phone.load(files["mobile-int8"])
        assert phone.load(files["mobile-int8"]).bytecode_version == 8
        phone._process.send_signal(signal.SIGSTOP)  # however fast the host: no answer
        phone.seconds = 0.01
        with pytest.raises(PhoneError, match="did not answer within 0 s"):
            phone.run(files["mobile-int8"], data.test.images.numpy())


ASK_THE_CORE = """
import ctypes, mmap, struct
code = mmap.mmap(-1, 4096, prot=7)
code.write(struct.pack("<2I", 0xD5380000, 0xD65F03C0))  # mrs x0, midr_el1; ret
midr = ctypes.CFUNCTYPE(ctypes.c_uint64)(ctypes.addressof(ctypes.c_char.from_buffer(code)))()
getauxval = ctypes.CDLL(None).getauxval
getauxval.argtypes, getauxval.restype = [ctypes.c_ulong], ctypes.c_ulong
print(midr, getauxval(16), open("/proc/cpuinfo").read().count("CPU part"))
"""
#: Bits of AT_HWCAP, arch/arm64/include/uapi/asm/hwcap.h in Linux.
HWCAP = (
    "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm jscvt fcma "
    "lrcpc dcpop sha3 sm3 sm4 asimddp"
)


@pytest.mark.parametrize("cpu", CORES)
def test_what_the_guest_reads_about_its_core_is_what_is_emulated(parts, tmp_path, cpu):
    phone, core = Phone(cpu, threads=2), CORES[cpu]
    phone._room = tmp_path
    (tmp_path / "ask.py").write_text(ASK_THE_CORE)
    done = subprocess.run(
        [*phone._command(), str(tmp_path / "ask.py")],
        env=phone._environment(), capture_output=True, text=True, check=True,
    )  # fmt: skip
    midr, features, cores = map(int, done.stdout.split())
    assert midr == 0x41 << 24 | core.variant << 20 | 0xF << 16 | core.part << 4 | core.revision
    assert [
        name for i, name in enumerate(HWCAP.split()) if features >> i & 1
    ] == core.features.split()
    assert cores == 2


def test_unknown_core(parts):
    with pytest.raises(PhoneError, match="no core called 'z80' here; choose .*cortex-a76"):
        Phone("z80")


def test_counts_repeat_and_match_the_networks_own_products(parts, cc, files, data, model):
    x = data.test.images[:1].numpy()
    with Phone("cortex-a53", counting=True) as phone:
        costs = {
            "mobile": phone.count(files["mobile"], x, 4),
            "mobile-int8": phone.count(files["mobile-int8"], x, 16),
        }
    expected = multiply_accumulates(model, data.test.images[:1])
    for name, cost in costs.items():
        assert cost.spread < 1e-3, (name, cost)
        assert cost.mac_instructions < cost.instructions
        # Kernels pad to whole vectors, so they multiply somewhat more than the network needs.
        assert expected <= cost.multiply_accumulates < 1.5 * expected, (name, cost, expected)


def multiply_accumulates(model, x):
    """Products of all convolutions and linear layers, from their shapes."""
    total = 0

    def hook(module, inputs, output):
        nonlocal total
        total += output.numel() * module.weight[0].numel()

    kinds = (torch.nn.Conv2d, torch.nn.Linear)
    hooks = [m.register_forward_hook(hook) for m in model.modules() if isinstance(m, kinds)]
    with torch.no_grad():
        model(x)
    for handle in hooks:
        handle.remove()
    return total


def test_a_phone_without_a_counter_gives_no_figure(phone, files, data):
    with pytest.raises(NoCounter, match="counting=True"):
        phone.count(files["mobile-int8"], data.test.images[:1].numpy())
    with pytest.raises(NoCounter, match="one thread"):
        Phone("cortex-a53", threads=2, counting=True)


# --- the command ----------------------------------------------------------------------------


def test_the_commands(parts, files, data, tmp_path):
    runner = CliRunner()
    assert "Cortex-A53" in runner.invoke(cli.app, ["phone", "cores"]).output
    assert "here already" in runner.invoke(cli.app, ["phone", "fetch"]).output
    np.save(tmp_path / "x.npy", data.test.images[:5].numpy())
    done = runner.invoke(
        cli.app, ["phone", "run", str(files["mobile-int8"]), "--input", str(tmp_path / "x.npy")]
    )
    assert done.exit_code == 0, done.output
    assert "identical" in done.output and "100.0% of 5" in done.output
    bad = altered(files["mobile"], tmp_path / "new.ptl", b"aten::flatten", b"aten::flattex")
    done = runner.invoke(cli.app, ["phone", "run", str(bad), "--input", str(tmp_path / "x.npy")])
    assert done.exit_code == 1
    # in the runtime's own words, square brackets included, and in the row below
    assert done.output.count("aten::flattex.using_ints") == 2
