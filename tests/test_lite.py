import subprocess
import sys
import zipfile

import pytest
import torch
from torch.utils.mobile_optimizer import optimize_for_mobile

from mobilelab import models
from mobilelab.core.errors import ModelFileError, ShapeError
from mobilelab.recipes import variants
from mobilelab.runtimes import lite


@pytest.fixture(scope="module")
def folder(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("lite")
    model = models.load_trained()
    scripted = torch.jit.script(model)
    scripted.save(str(folder / "saved.pt"))
    torch.save(model.state_dict(), folder / "state.pt")
    optimize_for_mobile(scripted)._save_for_lite_interpreter(str(folder / "float.ptl"))
    int8 = optimize_for_mobile(torch.jit.script(variants.quantize_static(model, data)))
    int8._save_for_lite_interpreter(str(folder / "int8.ptl"))
    scripted._save_for_lite_interpreter(str(folder / "flat.ptl"), _use_flatbuffer=True)
    return folder


def truncated(content):
    return content[: len(content) // 2]


def without_tail(content):
    return content[:-10]


def flipped(content):
    return content[:200_000] + bytes([content[200_000] ^ 1]) + content[200_001:]


def scrambled(content):
    return bytes(reversed(content))


def emptied(content):
    return b""


def picture(content):
    return b"\x89PNG\r\n\x1a\n" + content[:3000]


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (truncated, "not a complete model archive"),
        (without_tail, "not a complete model archive"),
        (flipped, "is damaged: the checksum of its record"),
        (scrambled, "not a complete model archive"),
        (emptied, "is empty"),
        (picture, "not a complete model archive"),
    ],
)
def test_damaged_file_is_one_sentence(folder, tmp_path, damage, words):
    bad = tmp_path / "bad.ptl"
    bad.write_bytes(damage((folder / "float.ptl").read_bytes()))
    with pytest.raises(ModelFileError, match=words) as caught:
        lite.load(bad)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("position", range(0, 60_000, 1500))
def test_no_single_wrong_byte_gets_through_or_crashes(folder, tmp_path, position):
    """Bytes of padding and of archive times change nothing; every other change is refused."""
    content = bytearray((folder / "int8.ptl").read_bytes())
    content[-position - 1] ^= 0xFF
    bad = tmp_path / "bad.ptl"
    bad.write_bytes(content)
    x = torch.zeros(1, 1, 32, 32)
    try:
        answer = lite.load(bad)(x)
    except ModelFileError:
        return
    assert torch.equal(answer, lite.load(folder / "int8.ptl")(x))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("saved.pt", "a TorchScript file made by .save()"),
        ("state.pt", "a pickled checkpoint"),
        ("flat.ptl", "flatbuffer model"),
        ("nothing.ptl", "There is no file"),
    ],
)
def test_other_kinds_of_file_are_told_apart(folder, name, words):
    with pytest.raises(ModelFileError, match=words):
        lite.load(folder / name)


def test_renamed_file_is_told_by_its_content(folder, tmp_path):
    renamed = tmp_path / "renamed.ptl"
    renamed.write_bytes((folder / "saved.pt").read_bytes())
    with pytest.raises(ModelFileError, match="holds no bytecode"):
        lite.load(renamed)
    also_fine = tmp_path / "model.bin"
    also_fine.write_bytes((folder / "float.ptl").read_bytes())
    assert lite.load(also_fine)(torch.zeros(1, 1, 32, 32)).shape == (1, 10)


def test_other_zip_is_told(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.ptl", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(ModelFileError, match="a zip archive without a model"):
        lite.load(tmp_path / "x.ptl")


def test_a_bad_file_does_not_end_the_process(folder, tmp_path):
    (tmp_path / "bad.ptl").write_bytes(truncated((folder / "int8.ptl").read_bytes()))
    code = (
        "from mobilelab.runtimes import lite\n"
        "from mobilelab.core.errors import ModelFileError\n"
        f"for path in ({str(tmp_path / 'bad.ptl')!r}, {str(folder / 'saved.pt')!r}):\n"
        "    try: lite.load(path)\n"
        "    except ModelFileError: print('refused')\n"
        f"print(tuple(lite.load({str(folder / 'int8.ptl')!r}).forward.__self__ is not None "
        "and (1,)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["refused", "refused", "(1,)"]


def test_torch_alone_accepts_one_wrong_byte(folder, tmp_path):
    """The reason for the checksums. If torch starts to refuse, chapter 05 must change."""
    bad = tmp_path / "bad.ptl"
    content = bytearray((folder / "float.ptl").read_bytes())
    content[200_000] ^= 0xFF
    bad.write_bytes(content)
    torch.jit.mobile._load_for_lite_interpreter(str(bad))
    with pytest.raises(ModelFileError):
        lite.load(bad)


def test_run_checks_the_shape_that_the_kernel_does_not(folder):
    module = lite.load(folder / "float.ptl")
    three = torch.zeros(1, 3, 32, 32)
    assert module(three).shape == (1, 10), "torch started to refuse: change chapters 04 and 05"
    with pytest.raises(ShapeError, match=r"shape \(n, 1, 32, 32\) but got \(1, 3, 32, 32\)"):
        lite.run(module, three, (1, 32, 32))
    assert lite.run(module, three[:, :1], (1, 32, 32)).shape == (1, 10)


def test_inspect_float(folder):
    inside = lite.inspect(folder / "float.ptl")
    assert inside.bytecode_version == 8
    assert "prepacked::conv2d_clamp_run" in inside.operators
    assert list(inside.dtypes) == ["float32"]
    assert inside.records["constants/"] == sum(inside.dtypes.values())
    assert sum(inside.records.values()) < inside.path.stat().st_size


def test_inspect_int8(folder):
    inside = lite.inspect(folder / "int8.ptl")
    assert {"quantized::conv2d_relu.new", "quantized::add"} <= set(inside.operators)
    assert not any("prepacked" in operator for operator in inside.operators)
    biggest, size = next(iter(inside.dtypes.items()))
    assert biggest == "qint8"
    assert 0.9 * 363754 < size < 363754
