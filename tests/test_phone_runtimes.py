"""The virtual phone's ExecuTorch and LiteRT: fetched beside it, same answers, counted."""

import io
import json
import os
import re
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from mobilelab.cli import main as cli
from mobilelab.core.errors import ShapeError
from mobilelab.phone import cache, fetch, lock, software
from mobilelab.phone.compare import FLOAT_BOUND, compare
from mobilelab.phone.errors import PhoneError
from mobilelab.phone.machine import Phone
from mobilelab.recipes import successors

REQUIRE = "MOBILELAB_REQUIRE_PHONE"
NEW = ("executorch", "litert")


# --- what needs no phone --------------------------------------------------------------------


def test_a_files_ending_names_its_runtime():
    assert [software.for_file(end).name for end in (".ptl", ".pte", ".tflite", ".x")] == [
        "lite", "executorch", "litert", "lite",
    ]  # fmt: skip
    with pytest.raises(PhoneError, match="no runtime called 'coreml'; choose lite, executorch, li"):
        software.named("coreml")


@pytest.mark.parametrize("name", NEW)
def test_a_runtime_is_wheels_beside_the_phone(name):
    added = lock.parts("emulated", name)
    assert added and added == lock.parts("native", name)
    assert all(part.kind == "wheel" and "aarch64" in part.platform for part in added)
    assert all(re.fullmatch(r"[0-9a-f]{64}", part.sha256) and part.size > 1e6 for part in added)
    assert not {part.sha256 for part in added} & {part.sha256 for part in lock.parts("emulated")}
    with pytest.raises(PhoneError, match="lite interpreter only"):
        lock.parts("mac", name)


def test_the_titles_are_the_versions_of_the_lock():
    entries = {part["name"]: part["version"] for part in json.loads(lock.LOCK.read_text())["parts"]}
    assert software.named("executorch").title == f"ExecuTorch {entries['executorch']}"
    assert software.named("litert").title == f"LiteRT {entries['ai-edge-litert']}"


@pytest.mark.parametrize("name", NEW)
def test_before_a_runtime_is_fetched_one_sentence_says_how(tmp_path, monkeypatch, name):
    monkeypatch.setenv(cache.PLACE, str(tmp_path))
    monkeypatch.setattr(lock.platform, "system", lambda: "Linux")
    monkeypatch.setattr(lock.platform, "machine", lambda: "x86_64")
    size = sum(part.size for part in lock.parts(runtime=name)) / 1e6
    with pytest.raises(PhoneError) as told:
        cache.require(name)
    assert f"`mobilelab phone fetch --runtime {name}` once ({size:.0f} MB)" in str(told.value)
    place = cache.place(lock.parts(runtime=name))
    place.mkdir(parents=True)
    (place / "complete").write_text("")
    assert cache.ready(name) and cache.require(name) == place
    assert not cache.ready()


def test_an_unknown_runtime_is_one_sentence_on_the_command_line():
    done = CliRunner().invoke(cli.app, ["phone", "fetch", "--runtime", "coreml"])
    assert done.exit_code == 1
    assert isinstance(done.exception, PhoneError) or "no runtime called" in done.output


# --- the real thing -------------------------------------------------------------------------


def fetched(name):
    """The runtime on this computer; fetched now if a network is there."""
    try:
        fetch.fetch(Console(stderr=True))
        fetch.fetch(Console(file=io.StringIO()), lock.parts(runtime=name))
    except PhoneError as error:
        if os.environ.get(REQUIRE):
            raise
        pytest.skip(f"no {name} on a virtual phone here: {error}")


@pytest.fixture(scope="module")
def executorch():
    """A counting phone with dot product instructions."""
    fetched("executorch")
    with Phone("cortex-a76", counting=True, runtime="executorch") as phone:
        yield phone


@pytest.fixture(scope="module")
def litert():
    """A counting phone of the small kind."""
    fetched("litert")
    with Phone("cortex-a53", counting=True, runtime="litert") as phone:
        yield phone


@pytest.fixture(scope="module")
def files(walk):
    """Name to file of each successor, float and int8."""
    wanted = ("et-fp32", "et-int8", "litert-fp32", "litert-int8")
    chosen = [variant for variant in successors.SUCCESSORS if variant.name in wanted]
    return {name: one.path for name, one in walk(*chosen).items()}


def flipped(source, target, weights):
    """A copy in which the largest bit of an exponent among the weights is turned over."""
    content = bytearray(source.read_bytes())
    start = content.find(weights.detach().numpy().tobytes())
    assert start > 0
    content[start + 3] ^= 0x40
    target.write_bytes(content)
    return target


@pytest.mark.parametrize("name", NEW)
def test_float_is_the_same_up_to_rounding(request, files, data, name):
    phone = request.getfixturevalue(name)
    path = files["et-fp32" if name == "executorch" else "litert-fp32"]
    images, labels = data.test.images[:20], data.test.labels[:20]
    result = compare(path, images, labels, phone)
    assert result.verdict == "same", str(result)
    assert 0 < result.rel_l2 <= FLOAT_BOUND and result.images == 20
    assert result.host_accuracy == result.phone_accuracy >= 0.95
    assert result.bytecode_version is None and result.engine is None and not result.quantized
    assert phone.about()["runtime"] == phone.software.title


@pytest.mark.parametrize("name", NEW)
def test_int8_is_the_same_up_to_a_step(request, files, data, name):
    """The one that this computer's newer version wrote is read, and answers alike."""
    phone = request.getfixturevalue(name)
    path = files["et-int8" if name == "executorch" else "litert-int8"]
    result = compare(path, data.test.images[:20], data.test.labels[:20], phone)
    assert result.quantized and result.ok, str(result)
    if name == "litert":  # the same version on both sides
        assert result.verdict == "identical" and result.max_abs == 0
        assert replace(result, identical=False).verdict == "DIFFERENT"
    assert replace(result, identical=False, rel_l2=0.011).verdict == "DIFFERENT"
    assert replace(result, identical=False, agreement=0.95).verdict == "DIFFERENT"


@pytest.mark.parametrize("name", NEW)
def test_one_altered_byte_is_red(request, files, data, model, tmp_path, name):
    phone = request.getfixturevalue(name)
    path = files["et-fp32" if name == "executorch" else "litert-fp32"]
    bad = flipped(path, tmp_path / path.name, model.classifier.bias)
    images = data.test.images[:2].numpy()
    right, wrong = (phone.run(file, images, 1) for file in (path, bad))
    assert abs(right - wrong).max() > 1


@pytest.mark.parametrize("name", NEW)
def test_int8_needs_fewer_instructions_than_float_for_the_same_products(request, files, data, name):
    phone = request.getfixturevalue(name)
    kind = "et" if name == "executorch" else "litert"
    x = data.test.images[:1].numpy()
    whole, small = (phone.count(files[f"{kind}-{what}"], x, 4) for what in ("fp32", "int8"))
    assert whole.spread < 0.01 and small.spread < 0.01
    assert small.instructions < 0.8 * whole.instructions
    assert abs(small.multiply_accumulates / whole.multiply_accumulates - 1) < 0.1


def test_int8_of_executorch_stops_on_a_core_without_dot_products(files, data):
    fetched("executorch")
    with Phone("cortex-a53", runtime="executorch") as phone:
        assert phone.run(files["et-fp32"], data.test.images[:1].numpy()).shape == (1, 10)
        with pytest.raises(PhoneError, match="SIGILL: .* instruction that a cortex-a53 does not"):
            phone.run(files["et-int8"], data.test.images[:1].numpy())


def test_what_the_file_does_not_take_is_said(executorch, files, data):
    with pytest.raises(PhoneError, match=r"is for another runtime .*runtime='litert'"):
        executorch.load(files["litert-fp32"])
    with pytest.raises(ShapeError, match="takes 1 inputs, not 2"):
        compare(files["et-fp32"], [data.test.images[:1]] * 2, None, executorch)


def test_the_commands(litert, files, data, tmp_path):
    runner = CliRunner()
    done = runner.invoke(cli.app, ["phone", "fetch", "--runtime", "litert"])
    assert "here already" in done.output
    np.save(tmp_path / "x.npy", data.test.images[:3].numpy())
    done = runner.invoke(
        cli.app, ["phone", "run", str(files["litert-int8"]), "--input", str(tmp_path / "x.npy")]
    )
    assert done.exit_code == 0, done.output
    assert software.named("litert").title in done.output and "relative error" in done.output
    assert "bytecode" not in done.output and "100.0% of 3" in done.output
