"""An NPU without hardware: the same bits, Vela's figures, what falls off, and honest refusals."""

import html
import io
import zipfile
from dataclasses import replace

import pytest
import torch
from torch import nn

from mobilelab import models, runtimes
from mobilelab.check.runner import Limits, check
from mobilelab.core.errors import ExportError, MissingRuntimeError, ModelFileError, ShapeError
from mobilelab.course.plots.delegates import Delegates, letter
from mobilelab.datasets import load
from mobilelab.measure.parity import compare
from mobilelab.recipes import npu
from mobilelab.runtimes import ethosu, libraries, steps, vela
from mobilelab.runtimes.steps import Step

pytest.importorskip("ethosu.vela")
pytest.importorskip("tosa_reference_model")


class Enlarging(nn.Module):
    """In its middle a layer that an Ethos-U55 lacks and an Ethos-U85 has."""

    def __init__(self):
        super().__init__()
        self.before = nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.larger = nn.Upsample(scale_factor=2)
        self.after = nn.Conv2d(4, 2, 3, padding=1)

    def forward(self, x):
        return self.after(self.larger(self.before(x)))


@pytest.fixture(scope="module")
def photos():
    return torch.randn(6, 3, 16, 16, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def pieces(photos, tmp_path_factory):
    """The small network for both families: the quantized graph and the file."""
    folder, made = tmp_path_factory.mktemp("npu"), {}
    torch.manual_seed(0)
    network = Enlarging().eval()
    for target in ("ethos-u55-128", "ethos-u85-256"):
        graph = npu.quantize_ethos_u(network, photos, target)
        path = folder / f"{target}.npu"
        path.write_bytes(npu.to_ethos_u(graph, photos[:1], target))
        made[target] = graph, path
    return made


def _equal(one, other):
    """Share of equal numbers. A value between two steps may be rounded otherwise on another CPU."""
    return float((one == other).float().mean())


@pytest.mark.parametrize("target", ["ethos-u55-128", "ethos-u85-256"])
def test_the_file_answers_as_the_quantized_graph_bit_for_bit(pieces, photos, target):
    graph, path = pieces[target]
    with torch.no_grad():
        ours = torch.cat([graph(one) for one in photos.split(1)])
    session = runtimes.load(path)
    assert _equal(session.predict(photos), ours) > 0.99
    # and the comparison can fail: other images
    assert _equal(session.predict(photos.flip(0)), ours) < 0.5


def test_a_u55_leaves_the_enlarging_to_the_processor_and_a_u85_does_not(pieces):
    small, large = (runtimes.load(pieces[t][1]) for t in ("ethos-u55-128", "ethos-u85-256"))
    assert len(small.graphs) == 2 and len(large.graphs) == 1
    assert any("upsample" in name for name in small.inspect().operators)
    assert not any("upsample" in name for name in large.inspect().operators)
    assert len(steps.crossings(steps.steps(small))) == 4
    assert len(steps.crossings(steps.steps(large))) == 2
    # int8: an image in, 4 channels out and, enlarged, in again, 2 channels out
    assert small.crossings() == [3 * 256, 4 * 64, 4 * 256, 2 * 256]
    assert large.crossings() == [3 * 256, 2 * 256]
    with pytest.raises(ModelFileError, match="2 parts"):
        _ = small.report


def test_signature_state_and_size_are_those_of_the_program(pieces):
    session = runtimes.load(pieces["ethos-u85-256"][1])
    assert str(session.signature) == (
        "input 0 float32 (1, 3, 16, 16) -> output 0 float32 (1, 2, 16, 16)"
    )
    assert session.file_kb == len(session.program) / 1000 < session.path.stat().st_size / 1000
    assert session.state == () and not session.on_phones
    with pytest.raises(ShapeError, match="3, 16, 16"):
        session.predict(torch.zeros(1, 1, 16, 16))


def test_wrong_files_are_one_sentence(pieces, tmp_path):
    path = pieces["ethos-u85-256"][1]
    cut = tmp_path / "cut.npu"
    cut.write_bytes(path.read_bytes()[:-200])
    other = tmp_path / "other.npu"
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("readme", "nothing")
    for wrong in (cut, other):
        with pytest.raises(ModelFileError, match="no NPU file of the course"):
            runtimes.load(wrong)
    with pytest.raises(ModelFileError, match="There is|Cannot read"):
        runtimes.load(tmp_path / "absent.npu")


def test_a_part_comes_from_its_own_graph(pieces):
    small, large = (runtimes.load(pieces[t][1]) for t in ("ethos-u55-128", "ethos-u85-256"))
    again = npu.bundle(small.program, small.graphs[::-1])
    assert again == pieces["ethos-u55-128"][1].read_bytes()
    with pytest.raises(ExportError, match="none of the graphs"):
        npu.bundle(small.program, large.graphs)


def test_vela_is_asked_again_for_other_sizes_and_memories(pieces):
    (graph,) = runtimes.load(pieces["ethos-u85-256"][1]).graphs
    reports = [vela.estimate(graph, f"ethos-u85-{macs}") for macs in (128, 512)]
    assert reports[0].cycles > reports[1].cycles
    assert reports[0].macs == reports[1].macs == sum(layer.macs for layer in reports[0].layers)
    assert {r.accelerator for r in reports} == {"Ethos_U85_128", "Ethos_U85_512"}
    assert all(0 < r.utilization < 1 and r.sram > 0 and r.flash > 0 for r in reports)
    slow = vela.estimate(graph, "ethos-u85-128", "Ethos_U85_SYS_Flash_Low", "Shared_Sram")
    assert (slow.clock_hz, slow.memory) == (200e6, "Shared_Sram")


@pytest.mark.parametrize(
    ("system", "memory", "kept"),
    [
        ("Ethos_U85_SYS_Flash_High", "Shared_Sram", "flash"),
        ("Ethos_U85_SYS_Flash_High", "Sram_Only", "SRAM"),
        ("Ethos_U85_SYS_DRAM_Mid", "Shared_Sram", "DRAM"),
    ],
)
def test_an_estimate_says_where_the_weights_lie(pieces, system, memory, kept):
    (graph,) = runtimes.load(pieces["ethos-u85-256"][1]).graphs
    report = vela.estimate(graph, "ethos-u85-128", system, memory)
    words = {
        "flash": (report.sram, ", 1 kB flash"),
        "SRAM": (report.sram + report.flash, ", of these 1 kB weights and commands"),
        "DRAM": (report.sram, ", 1 kB DRAM"),
    }
    total, end = words[kept]
    assert report.sram_in_all == total
    assert str(report).endswith(f"{total / 1000:.0f} kB SRAM{end}")


@pytest.mark.parametrize("target", ["ethos-u55-512", "ethos-u99-128", "hexagon", "ethos-u55"])
def test_an_accelerator_that_vela_does_not_know_is_refused_with_those_it_does(target):
    with pytest.raises(ExportError, match="ethos-u55-32, .*ethos-u85-2048"):
        vela.estimate(b"", target)


def test_what_vela_refuses_is_one_sentence():
    with pytest.raises(ExportError, match="Vela"):
        vela.estimate(b"no graph at all", "ethos-u55-128")
    with pytest.raises(ExportError, match="Vela"):
        vela.estimate(b"no graph at all", "ethos-u55-128", "No_Such_System")


def test_missing_tools_are_one_sentence_with_the_fix():
    with pytest.raises(MissingRuntimeError, match=r"make npu .*pip install --no-deps -r npu.txt"):
        libraries.imported("no_such_module", "Vela", "npu")


@pytest.fixture(scope="module")
def lowered(walk):
    (built,) = walk(npu.NPU).values()
    return runtimes.load(built.path)


def test_the_course_network_goes_to_the_npu_as_a_whole(lowered):
    inside = lowered.inspect()
    assert set(inside.operators.values()) == {1} and len(inside.operators) == 2
    (taken,) = inside.delegates.values()
    assert sum(taken.values()) == len(lowered.report.layers) == 58
    weights = sum(p.numel() for n, p in models.load_trained().named_parameters() if p.ndim > 1)
    assert lowered.report.weights == inside.dtypes["int8"] == weights
    assert 26e6 < lowered.report.macs < 29e6


def test_its_answers_are_close_to_float(lowered):
    images = load("digits").test.images[:10]
    found = compare(models.load_trained()(images).detach(), lowered.predict(images))
    assert found.verdict == "close" and found.rel_l2 < 0.05


def test_the_graph_for_a_u85_is_the_one_for_a_u55(lowered):
    """Chapter 12 compiles one graph for both families, because of this."""
    data = load("digits")
    graph = npu.quantize_ethos_u(models.load_trained(), data.calibration.images, "ethos-u85-256")
    other = npu.to_ethos_u(graph, data.test.images[:1], "ethos-u85-256")
    with zipfile.ZipFile(io.BytesIO(other)) as archive:
        assert archive.read("part-0.tosa") == lowered.graphs[0]


def test_the_picture_tells_what_the_steps_tell(pieces):
    found = steps.steps(runtimes.load(pieces["ethos-u55-128"][1]))
    picture = Delegates("a <file>", found)
    page = picture._repr_html_()
    assert page.count("<title>Crossing") == 4 and page.count("<g><title>") == len(found) + 4
    assert "256 bytes go over" in page and "a &lt;file&gt;" in page and "<file>" not in page
    assert page.count("<tr>") == len(found) + 1
    assert all(html.escape(step.operator) in page for step in found)
    assert "4 crossings" in repr(picture)
    assert "no crossing" in repr(Delegates("x", [Step("a", "b"), Step("c", "b")]))
    assert "none" in repr(Delegates("x", []))


def test_letters_and_words_of_a_step():
    assert [letter(n) for n in ("DEPTHWISE_CONV_2D", "XNNConv2d", "aten::add", "Softmax")] == [
        "D", "C", "+", "·",
    ]  # fmt: skip
    step = Step("CONV_2D", "XNNPACK", 0, (1, 4), "int8", size=4)
    assert step.text == "CONV_2D by XNNPACK, gives int8 (1, 4)"
    assert replace(step, shape=None, dtype="").text == "CONV_2D by XNNPACK"


@pytest.mark.parametrize(
    ("name", "who"),
    [
        ("mobile-int8", {"QNNPACK", "PyTorch"}),
        ("et-int8", {"XNNPACK"}),
        ("et-portable", {"ExecuTorch"}),
        ("litert-int8", {"XNNPACK"}),
    ],
)
def test_every_kind_of_file_tells_its_steps(walk, name, who):
    from mobilelab.recipes import successors, variants

    (variant,) = [v for v in (*variants.WALK, *successors.SUCCESSORS) if v.name == name]
    (built,) = walk(variant).values()
    session = runtimes.load(built.path)
    found = steps.steps(session)
    assert {step.who for step in found} == who
    inside = session.inspect()
    if built.path.suffix != ".ptl":
        counted = {**inside.operators}
        for ops in inside.delegates.values():
            for op, n in ops.items():
                counted[op] = counted.get(op, 0) + n
        told = {}
        for step in found:
            told[step.operator] = told.get(step.operator, 0) + 1
        assert {n.split(".")[0]: c for n, c in counted.items()} == told
        assert all(step.size for step in found)


def test_steps_of_a_file_that_does_not_tell_are_refused(walk):
    from mobilelab.recipes import variants

    (built,) = walk(*variants.named("eager")).values()
    with pytest.raises(ModelFileError, match=r"\.ptl, \.tflite, \.pte, \.npu"):
        steps.steps(runtimes.load(built.path))


def test_a_branch_is_refused_and_not_run_wrongly(pieces, photos):
    session = runtimes.load(pieces["ethos-u85-256"][1])
    session._plan.chains[0].instructions[0].instr_args = object()
    with pytest.raises(ModelFileError, match="branch"):
        session.predict(photos[:1])


def test_a_file_is_the_same_bytes_each_time():
    assert ethosu.packed(b"p", [(b"g", "l", "s")]) == ethosu.packed(b"p", [(b"g", "l", "s")])


def test_check_walks_the_road_and_takes_no_time(photos):
    torch.manual_seed(0)
    limits = Limits(deadline=600, seconds=0.02)
    row = check(Enlarging().eval(), list(photos.split(1)), names=["npu"], limits=limits).row("npu")
    assert (row.status, row.verdict, row.file) == ("done", "close", "npu.npu"), row.reasons
    assert row.how == npu.TARGET and row.median_ms is None and row.times_eager is None
