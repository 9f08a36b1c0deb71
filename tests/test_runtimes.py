"""The runtimes behind one interface: same answers, honest refusals, what is in a file."""

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from mobilelab import measure, models, runtimes, tasks
from mobilelab.apps import render, vectors
from mobilelab.core.errors import MeasureError, MissingRuntimeError, ModelFileError, ShapeError
from mobilelab.course.plots import tradeoff
from mobilelab.course.widgets import TradeoffExplorer
from mobilelab.measure import report
from mobilelab.measure.parity import compare
from mobilelab.phone import software
from mobilelab.phone.errors import PhoneError
from mobilelab.recipes import remeasure, successors, variants
from mobilelab.recipes.snippets import WAY_ON
from mobilelab.runtimes import base, elsewhere, executorch, libraries

NEW = ("et-portable", "et-fp32", "et-int8", "litert-fp32", "litert-int8")


@pytest.fixture(scope="module")
def trained():
    return models.load_trained()


@pytest.fixture(scope="module")
def built(walk):
    chosen = [v for v in successors.SUCCESSORS if v.name in NEW]
    chosen += variants.named("mobile", "mobile-nhwc", "mobile-int8")
    return walk(*chosen)


def test_every_ending_has_a_runtime():
    found = {suffix: runtimes.kind(f"x{suffix}") for suffix in runtimes.known()}
    assert {suffix: (kind.runtime, kind.on_phones) for suffix, kind in found.items()} == {
        ".npu": ("Ethos-U", False),
        ".pt": ("TorchScript", False),
        ".pte": ("ExecuTorch", True),
        ".ptl": ("lite interpreter", True),
        ".state_dict": ("PyTorch", False),
        ".tflite": ("LiteRT", True),
    }
    assert all(kind.suffix == suffix for suffix, kind in found.items())


TOY = """
import torch
from mobilelab.runtimes.base import Inside, Session
from mobilelab.core.signature import Port, Signature

class Toy(Session):
    "Multiplies by the number in its file."
    runtime, suffix = "Toy", ".toy"
    signature = Signature((Port("x", torch.float32, (None, 3)),), (Port("y", torch.float32, None),))
    def _load(self): self.factor = float(self.path.read_text())
    def _call(self, example): return example.args[0] * self.factor
    def inspect(self): return Inside("Toy", "1", {"mul": 1}, {}, {"float32": 4})
    @classmethod
    def save(cls, made, path): path.write_text(str(made.factor))
"""


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """A runtime that another package brings: one file, and its entry point."""
    (tmp_path / "toy_runtime.py").write_text(TOY)
    about = tmp_path / "toy_runtime-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-runtime\nVersion: 1\n")
    (about / "entry_points.txt").write_text("[mobilelab.runtimes]\ntoy = toy_runtime:Toy\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")  # for the process of the peak
    return tmp_path


class Times(nn.Module):
    factor = 2.0

    def forward(self, x):
        return x * self.factor


def test_a_new_runtime_is_one_file_from_building_to_the_table(toy):
    """Saved, loaded, asked, measured, in the table and the picture, refused by phone and app."""
    path, x = toy / "twice.toy", torch.randn(8, 3)
    variants.write(Times(), path)
    session = runtimes.load(path)
    assert torch.equal(session(x), 2 * x) and session.input_channels is None
    with pytest.raises(ShapeError, match=r"takes the shape \(n, 3\), not \(8, 4\)"):
        session(torch.randn(8, 4))
    outputs = measure.answers(session, [x])
    timing = measure.time_in_turn({"toy": lambda: session(x)}, seconds=0.05)["toy"]
    memory = measure.peak_memory(path, (8, 3))
    row = measure.record(
        "toy", path, outputs, measure.answers(Times(), [x]), None, timing,
        task=tasks.Regression(), memory=memory,
    )  # fmt: skip
    assert row.verdict == "same" and row.peak_total_mib > 0
    table = report.Results([row], columns=("variant", "same answers?", "size"))
    assert table.cells()[1] == [["toy", "same", "0 kB"]]
    assert runtimes.on_phones(path)
    legend = [text.get_text() for text in tradeoff([row]).legends[0].get_texts()]
    assert "open: not a .toy" in legend
    explorer = TradeoffExplorer([row, replace(row, variant="eager", file="eager.state_dict")])
    drawn = explorer.data["measured"]["1 NCHW"]["records"]
    assert [(r["name"], r["phone"]) for r in drawn] == [("toy", True), ("eager", False)]
    assert "<b>toy</b>" in explorer.static() and "twice.toy" in explorer.static()
    with pytest.raises(PhoneError, match=r"has no Toy, which a \.toy needs; it loads \.ptl, "):
        software.for_file(".toy")
    with pytest.raises(ModelFileError, match=r"is for Toy, and .* no app has Toy: they run \.pte"):
        render.make_for_tensors("android", toy / "app", path, [x])


def test_a_runtime_with_templates_of_its_own_becomes_an_app(toy, monkeypatch):
    (toy / "android" / "toy").mkdir(parents=True)
    (toy / "android" / "toy" / "Model.kt.j2").write_text("// {{ model_file }}\n")
    (toy / "android" / "toy" / "README.md.j2").write_text("# {{ name }}, with a toy\n")
    part = elsewhere.InApp("toy", "org.example:toy:1.0", templates=toy)
    monkeypatch.setattr(runtimes.kind(".toy"), "in_app", part)
    path = toy / "twice.toy"
    path.write_text("2.0")
    made = render.make_for_tensors("android", toy / "app", path, [torch.randn(1, 3)], variant="toy")
    assert (made.folder / "Model.kt").read_text() == "// model.toy\n"
    assert (made.folder / "README.md").read_text() == "# MobileLab, with a toy\n"
    written = [(made.folder / path).read_text() for path in made.files if path.suffix != ".toy"]
    assert not any("executorch" in text.lower() for text in written)
    assert "org.example:toy:1.0" in (made.folder / "app/build.gradle.kts").read_text()
    assert made.vectors.recorded_with.startswith("Toy on ")


#: A decision by the ending of one runtime's files.
BY_NAME = re.compile(r"""(==|!=|\bin|endswith\()\s*\(?["']\.(ptl|pte|tflite|state_dict)["']""")
#: What chapters check, and what is made for two runtimes by name.
MAY = ("course/checks/", "rescue/")


def by_name(folder):
    found = sorted((folder / "mobilelab").rglob("*.py"))
    names = {path.relative_to(folder / "mobilelab").as_posix(): path for path in found}
    return [
        name for name, path in names.items()
        if not name.startswith(MAY) and BY_NAME.search(path.read_text(encoding="utf-8"))
    ]  # fmt: skip


def test_nothing_decides_by_the_name_of_a_runtime(tmp_path):
    assert by_name(Path(__file__).parents[1]) == []
    (tmp_path / "mobilelab" / "apps").mkdir(parents=True)
    for text in ('if path.suffix == ".pte":', 'x = f.endswith(".ptl")', 's in (".pte", ".tflite")'):
        (tmp_path / "mobilelab" / "apps" / "one.py").write_text(text)
        assert by_name(tmp_path) == ["apps/one.py"]


def test_a_runtime_that_predicts_in_its_own_way_is_called_so():
    class Doubled(base.Session):
        signature = _call = inspect = None

        def _load(self):
            pass

        def predict(self, images):
            return 2 * images

    assert Doubled("x.doubled")(torch.ones(2)).tolist() == [2, 2]


@pytest.mark.parametrize(
    ("name", "verdict", "error"),
    [
        ("mobile", "same", 1e-5),
        ("et-fp32", "same", 1e-5),
        ("litert-fp32", "same", 1e-5),
        ("et-int8", "close", 0.1),
        ("litert-int8", "close", 0.1),
    ],
)
def test_answers(built, data, reference, name, verdict, error):
    parity = compare(reference, built[name].predict(data.test.images))
    assert parity.verdict == verdict
    assert parity.rel_l2 < error
    assert parity.agreement > 0.98
    (recipe,) = (v for v in (*variants.WALK, *successors.SUCCESSORS) if v.name == name)
    assert recipe.lossless == (verdict == "same")


def test_portable_kernels_answer_the_same(built, data, reference):
    images = data.test.images[:5]
    assert compare(reference[:5], built["et-portable"].predict(images)).verdict == "same"


def test_answers_stay_when_the_next_image_is_asked(built, data):
    """Both runtimes hand out memory that the next call writes over."""
    for name in ("et-fp32", "litert-fp32"):
        first = built[name].predict(data.test.images[:1])
        before = first.clone()
        built[name].predict(data.test.images[1:2])
        assert torch.equal(first, before), name


def test_a_channels_last_image_is_the_same_image(data, trained, tmp_path):
    """Handed over as it lies in memory, it would be another one."""
    colors = nn.Conv2d(3, 4, 3, padding=1).eval()
    photo = torch.rand(1, 3, 8, 8)
    (tmp_path / "c.pte").write_bytes(successors.to_executorch(colors, photo))
    run = runtimes.load(tmp_path / "c.pte")
    last = photo.to(memory_format=torch.channels_last)
    with torch.no_grad():
        wanted = colors(photo)
    assert torch.allclose(run.execute(last), wanted, atol=1e-5)
    assert not torch.allclose(run._forward.execute([last])[0], wanted, atol=1e-2)


# --- inside -------------------------------------------------------------------------------


def test_what_was_delegated(built):
    inside = {name: one.predict.inspect() for name, one in built.items()}
    assert built["et-int8"].predict.unread() == {"tensors": 0, "bytes": 0}
    for name in ("et-fp32", "et-int8"):
        assert inside[name].operators == {}
        assert inside[name].delegates["XnnpackBackend"]["XNNConv2d"] == 17
    assert inside["et-portable"].delegates == {}
    assert inside["et-portable"].operators["aten::convolution.out"] == 26
    assert inside["et-portable"].operators["aten::_native_batch_norm_legit_no_training.out"] == 26
    assert inside["litert-fp32"].operators == {}
    assert inside["litert-fp32"].delegates["XNNPACK (1 part)"]["CONV_2D"] == 17
    assert "1 QUANTIZE" in str(inside["litert-int8"])
    assert any(op.startswith("prepacked::") for op in inside["mobile"].delegates["XNNPACK"])


def test_element_types_of_the_weights(built):
    weights = {name: one.predict.inspect().dtypes for name, one in built.items()}
    convolutions = 355_000  # of the network, one byte each
    assert weights["et-fp32"]["fp32"] == pytest.approx(4 * convolutions, rel=0.03)
    assert weights["litert-fp32"]["float32"] == pytest.approx(4 * convolutions, rel=0.03)
    assert weights["et-int8"]["qcint8"] == pytest.approx(convolutions, rel=0.01)
    assert weights["litert-int8"]["int8"] == pytest.approx(convolutions, rel=0.01)


class Then(nn.Module):
    def __init__(self, network, last):
        super().__init__()
        self.network, self.last = network, last

    def forward(self, x):
        return self.last(self.network(x))


def test_a_part_that_no_delegate_takes_is_seen(data, trained, tmp_path):
    network = Then(trained, lambda x: torch.cumsum(x, dim=1)).eval()
    (tmp_path / "sums.pte").write_bytes(successors.to_executorch(network, data.test.images[:1]))
    inside = runtimes.load(tmp_path / "sums.pte").inspect()
    assert inside.operators == {"aten::cumsum.out": 1}
    assert inside.delegates["XnnpackBackend"]["XNNConv2d"] == 17


# --- what is refused ----------------------------------------------------------------------


def truncated(content):
    return content[: len(content) // 2]


def without_tail(content):
    return content[:-100]


def a_few_bytes(content):
    return content[:50]


def one_byte(content):
    return content[:1]


def emptied(content):
    return b""


def a_text(content):
    return b"this is not a model, it is a text\n" * 20


DAMAGES = (truncated, without_tail, a_few_bytes, one_byte, emptied, a_text)


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", ["et-fp32", "et-portable", "litert-fp32", "litert-int8"])
def test_a_damaged_file_is_one_sentence(built, tmp_path, name, damage):
    path = tmp_path / f"bad{built[name].variant.suffix}"
    path.write_bytes(damage(built[name].path.read_bytes()))
    with pytest.raises(ModelFileError) as caught:
        runtimes.load(path)
    assert path.name in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", [".pte", ".tflite"])
def test_a_missing_file_a_folder_and_another_kind_of_file(built, tmp_path, suffix):
    with pytest.raises(ModelFileError, match="No such file"):
        runtimes.load(tmp_path / f"none{suffix}")
    (tmp_path / f"folder{suffix}").mkdir()
    with pytest.raises(ModelFileError, match="Is a directory"):
        runtimes.load(tmp_path / f"folder{suffix}")
    (tmp_path / f"other{suffix}").write_bytes(built["mobile"].path.read_bytes())
    with pytest.raises(ModelFileError, match="is not a"):
        runtimes.load(tmp_path / f"other{suffix}")
    with pytest.raises(
        ModelFileError, match=r"the endings are \.npu, \.pt, \.pte, \.ptl, \.state_dict, \.tflite"
    ):
        runtimes.load(tmp_path / "model.onnx")


@pytest.mark.parametrize("name", ["et-fp32", "litert-fp32"])
def test_a_wrong_input_is_one_sentence(built, data, name):
    run, images = built[name].predict, data.test.images
    for wrong, words in (
        (images[:1].double(), r"takes float32 as its input, not float64; .* with \.float\(\)"),
        (images[:1].long(), "takes float32 as its input, not int64"),
        (images[0], r"takes the shape \(n, 1, 32, 32\), not \(1, 32, 32\)"),
        (images[:1].repeat(1, 3, 1, 1), "prepare the input as in training|it was exported for"),
        (images[:1, :, :28, :28], "prepare the input as in training|it was exported for"),
        (images[:0], "cannot be divided|it was exported for"),
    ):
        with pytest.raises(ShapeError, match=words):
            run.predict(wrong)
    assert run.predict(images[:2]).shape == (2, 10)


class Fixed(base.Session):
    """A runtime for files of one shape, which adds up what it has seen of its first axis."""

    runtime, suffix = "fixed", ".fixed"

    def _load(self):
        self.shape = tuple(map(int, self.path.read_text().split()))

    @property
    def signature(self):
        port = base.Port("x", torch.float32, self.shape)
        return base.Signature((port,), (port,))

    def _call(self, example):
        return example.args[0].cumsum(0)

    def inspect(self):
        raise NotImplementedError


def test_only_what_was_made_for_one_is_asked_one_by_one(tmp_path):
    """A first axis of twelve may be steps: two halves of 24 would each begin anew."""
    path = tmp_path / "x.fixed"
    path.write_text("12 1 8")
    session = Fixed(path)
    assert session(torch.ones(12, 1, 8))[-1].max() == 12
    with pytest.raises(ShapeError, match="does not say whether .* steps, so nothing was cut"):
        session(torch.ones(24, 1, 8))
    path.write_text("1 8")
    assert torch.equal(Fixed(path)(torch.ones(24, 8)), torch.ones(24, 8))


def test_executorch_refuses_by_itself_too(built, data):
    with pytest.raises(ShapeError, match="0x12"):
        built["et-fp32"].predict.execute(data.test.images[:1].double())
    with pytest.raises(ShapeError, match="0x10"):
        built["et-fp32"].predict.execute(data.test.images[:5])


def test_a_file_with_an_operator_that_the_runtime_does_not_have(tmp_path):
    network = Then(nn.Identity(), lambda x: torch.sort(x, dim=1).values)
    (tmp_path / "s.pte").write_bytes(successors.to_executorch(network, torch.rand(1, 10)))
    with pytest.raises(ModelFileError, match="an operator of the file is missing"):
        runtimes.load(tmp_path / "s.pte")


def test_a_file_for_another_processor(trained, data, tmp_path):
    path = tmp_path / "made_for.pte"
    content = successors.to_executorch(trained, data.test.images[:1])
    assert content.count(b"XnnpackBackend") == 1
    path.write_bytes(content.replace(b"XnnpackBackend", b"SomeOtherChips"))
    with pytest.raises(ModelFileError, match="made for a backend that"):
        runtimes.load(path)


def test_int8_doors_are_refused(built, data, tmp_path):
    path = tmp_path / "doors.tflite"
    with libraries.quiet():  # the recipe of most tutorials, which quantizes the doors too
        from ai_edge_quantizer import quantizer, recipe

        worker = quantizer.Quantizer(str(built["litert-fp32"].path), recipe.static_wi8_ai8())
        sample = {"args_0": data.test.images[:1].numpy()}
        ranges = worker.calibrate({"serving_default": [sample]})
        worker.quantize(ranges).export_model(str(path))
    with pytest.raises(
        ModelFileError, match="doors.tflite takes int8 with a scale as args_0; quan"
    ):
        runtimes.load(path)


@pytest.mark.parametrize(
    ("suffix", "package", "extra"),
    [
        (".pte", "executorch.runtime", "executorch"),
        (".tflite", "ai_edge_litert.interpreter", "litert"),
    ],
)
def test_without_the_extra_one_sentence_says_how_to_get_it(
    built, tmp_path, monkeypatch, suffix, package, extra
):
    monkeypatch.setitem(sys.modules, package, None)
    name = "et-fp32" if suffix == ".pte" else "litert-fp32"
    with pytest.raises(MissingRuntimeError, match=rf"pip install .*\[{extra}\]") as caught:
        runtimes.load(built[name].path)
    assert "\n" not in str(caught.value)


def test_without_the_extras_the_recipes_say_so_too(trained, data, monkeypatch):
    for package, recipe in (
        ("executorch.exir", successors.to_executorch),
        ("litert_torch", successors.to_litert),
    ):
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(MissingRuntimeError, match="is not installed here"):
            recipe(trained, data.test.images[:1])


# --- threads and measuring ----------------------------------------------------------------


def test_the_pool_of_a_process_is_made_once(built):
    assert built["et-fp32"].predict.threads == 1
    with pytest.raises(MeasureError, match="a process of its own"):
        runtimes.load(built["et-fp32"].path, threads=2)
    with pytest.raises(MeasureError, match="MOBILELAB_POOL_THREADS=2"):
        runtimes.load(built["mobile"].path, threads=2)
    assert runtimes.load(built["litert-fp32"].path, threads=2).threads == 2


THREADS = """
from mobilelab import runtimes
run = runtimes.load({path!r}, threads={threads})
from executorch.extension.pybindings import portable_lib
print(portable_lib._threadpool_get_thread_count())
"""


def test_executorch_gets_the_threads_that_were_asked_for(built):
    code = THREADS.format(path=str(built["et-fp32"].path), threads=2)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True
    )
    assert done.stdout.strip() == "2", done.stderr


def test_measured_again_with_two_threads(built, data, reference):
    chosen = [built[name] for name in ("mobile-nhwc", "et-int8", "litert-int8")]
    rows = remeasure.again(chosen, reference, data, threads=2, seconds=0.1)
    assert [(row.variant, row.threads) for row in rows] == [(one.variant.name, 2) for one in chosen]
    assert all(row.verdict in ("same", "close") for row in rows)


def test_peak_memory_leaves_the_library_out(built):
    """The file is the model's, the library's code is not."""
    for name in ("et-fp32", "litert-fp32"):
        peak = measure.peak_memory(built[name].path, (1, 1, 32, 32))
        assert 0.5 < peak.added_mib < 40, name
        assert peak.total_mib > peak.added_mib + 50


def test_quiet_lets_errors_through_and_restores_everything(capfd):
    with pytest.raises(ValueError, match="mine"), libraries.quiet():
        print("nothing of this")
        raise ValueError("mine")
    print("but this")
    assert capfd.readouterr().out == "but this\n"


def test_flatc_is_found_in_an_environment_that_is_not_activated(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    executorch.with_flatc()
    assert executorch.shutil.which("flatc")


# --- what an app is given ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "tolerance"),
    [("et-fp32", vectors.FLOAT_TOLERANCE), ("et-int8", vectors.INT8_TOLERANCE)],
)
def test_an_app_is_held_to_what_its_weights_allow(name, tolerance, built, data):
    recorded = vectors.record(built[name].path, data, data.classes)
    assert "ExecuTorch" in recorded.recorded_with and recorded.accuracy > 0.97
    assert recorded.output_tolerance == tolerance


# --- the cells that the explorer hands out -------------------------------------------------


@pytest.mark.parametrize("name", NEW)
def test_cell_of_chapter_08_builds_the_variant(name, data, built, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with runtimes.quiet():
        exec(WAY_ON[name], {"__name__": "cell"})
    (file,) = tmp_path.glob(f"{name}.*")
    assert file.stat().st_size == pytest.approx(built[name].path.stat().st_size, rel=0.02)
    images = data.test.images[: 10 if name == "et-portable" else 200]
    mine = runtimes.load(file).predict(images)
    assert compare(built[name].predict(images), mine).verdict == "same"


def test_cell_that_trains_with_rounding(data, trained, reference, tmp_path, monkeypatch):
    """Afterwards both have the same weights and ranges, so only one of them is converted."""
    pt2e = pytest.importorskip("torchao.quantization.pt2e.quantize_pt2e")
    convert, states = pt2e.convert_pt2e, []

    def only_the_first(prepared):
        states.append({name: value.clone() for name, value in prepared.state_dict().items()})
        return convert(prepared) if len(states) == 1 else prepared

    monkeypatch.setattr(pt2e, "convert_pt2e", only_the_first)
    monkeypatch.chdir(tmp_path)
    before = {name: value.clone() for name, value in trained.state_dict().items()}
    with runtimes.quiet():
        exec(WAY_ON["et-qat"], {"__name__": "cell"})
    successors.quantize_pt2e_aware(trained, data)
    mine, theirs = states
    assert list(mine) == list(theirs)
    assert all(torch.allclose(mine[name], theirs[name]) for name in mine)
    assert not torch.equal(mine["classifier.weight"], before["classifier.weight"])
    answers = runtimes.load(tmp_path / "et-qat.pte").predict(data.test.images)
    assert compare(reference, answers).verdict == "close"
    assert measure.accuracy(answers, data.test.labels) > 0.97
    assert all(torch.equal(value, before[name]) for name, value in trained.state_dict().items())
    assert not trained.training
    # what exporting keeps beside the program: 26 times two averages and a counter
    unread = runtimes.load(tmp_path / "et-qat.pte").unread()
    assert unread["tensors"] == 78
    assert unread["bytes"] == sum(
        value.numel() * value.element_size() for value in trained.buffers()
    )


# --- calibration --------------------------------------------------------------------------


def test_calibration_keeps_the_extremes(built, data, reference):
    """With the quantizer's own moving average the error was 0.14 (chapter 09)."""
    error = compare(reference, built["litert-int8"].predict(data.test.images)).rel_l2
    assert 1e-3 < error < 0.05


def test_an_operator_that_gets_an_overload_keeps_its_address():
    """Else torch.jit.script takes whatever comes to lie there for the operator."""
    table = torch.jit._builtins._get_builtin_table()
    library = torch.library.Library("mobilelab_tests", "DEF")
    library.define("one(Tensor x) -> Tensor")
    packet = torch.ops.mobilelab_tests.one
    address = id(packet._op)
    library.define("one.more(Tensor x, int y) -> Tensor")
    assert id(packet._op) != address and table[address] == "mobilelab_tests::one"
    appends = [[].append for _ in range(10_000)]
    assert not [method for method in appends if id(method) in table]
