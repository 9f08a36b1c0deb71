"""Files that were found: read, judged, rewritten with the same answers, or refused."""

import io
import json
import os
import pickle
import random
import zipfile
from pathlib import Path

import pytest
import torch
from found import (
    ENGINE,
    FOUND,
    REFUSED,
    XT,
    Listed,
    Picture,
    Waits,
    int8_fx,
    optimized,
    quietly,
    saved,
    statistics,
)
from torch import nn
from torch.ao import quantization as tq
from typer.testing import CliRunner

from mobilelab import runtimes
from mobilelab.cli.main import app
from mobilelab.core.errors import ModelFileError, RescueError, ShapeError
from mobilelab.core.trees import leaves
from mobilelab.measure.parity import Verdict
from mobilelab.rescue import archive, examples, jobs, proof, rewrite, source
from mobilelab.rescue.findings import judge
from mobilelab.rescue.graph import choose_engine, rebuild, record
from mobilelab.rescue.inputs import LEAST, groups
from mobilelab.rescue.inspect import contents
from mobilelab.rescue.quantized import lowered
from mobilelab.rescue.tape import Rebuilt
from mobilelab.rescue.values import source_line

#: Kinds that go all the way to files in every run; the others go there in the slow tests.
QUICK = ("optimized", "int8 by tensor", "dynamic int8", "two in, dict out", "embedding")


def opened(path):
    choose_engine()
    found = archive.examine(path)
    return found, archive.load(found)


def prepared(path, shapes):
    found, module = opened(path)
    inside = contents(found, module)
    return jobs.prepared(found, examples.find(module, shapes), inside)


def findings(path):
    found, module = opened(path)
    return {one.name: one for one in judge(found, module, contents(found, module))}


def write(path, content):
    path.write_bytes(content)
    return path


# --- the rebuilt network ------------------------------------------------------------------------


@pytest.mark.parametrize("name", FOUND)
def test_a_rebuilt_network_answers_as_the_file(name, tmp_path):
    kind = FOUND[name]
    job = prepared(kind.save(tmp_path, "model"), kind.examples)
    for folded in (True, False):
        network = Rebuilt(lowered(job.tape, folded))
        rows = proof.compared(job.old, job.answers(network))
        assert proof.judged(rows, kind.int8).ok, rows
        if not kind.int8:
            assert max(row.relative for row in rows) < 1e-5
    assert sum(map(len, job.groups.values())) >= LEAST


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_rewritten_is_refused_with_the_reason(name, tmp_path):
    kind = REFUSED[name]
    path = kind.save(tmp_path, "model")
    found = rewrite.rescue(path, tmp_path / "out", kind.examples, sourced=True)
    said = [found.refusal] if found.refusal else [one.refusal for one in found.outcomes]
    assert said and all(kind.refused in words for words in said)
    assert not found.ok and not (tmp_path / "out").exists()


LINES = {
    "while loop": "while bool(x.sum() > 1):",
    "decision": "if bool(x.mean() > 0):",
    "counting": "return x.nonzero().float()",
}


@pytest.mark.parametrize(("name", "line"), LINES.items())
def test_a_refusal_names_the_source_line(name, line, tmp_path):
    found = rewrite.rescue(REFUSED[name].save(tmp_path, "m"), tmp_path / "out", ("2x3",))
    assert line in found.refusal and "found.py, line" in found.refusal


def test_a_source_line_without_a_file_is_empty():
    assert source_line("") == ""
    assert source_line('File "x.py", line 3\n') == "x.py, line 3"


def test_a_lost_clamp_would_be_seen(tmp_path):
    kind = FOUND["optimized"]
    job = prepared(kind.save(tmp_path, "model"), kind.examples)
    tape = lowered(job.tape)
    step = next(step for step in tape.steps if "relu" in step.name or "hardtanh" in step.name)
    step.call = lambda x, *bounds: x
    rows = proof.compared(job.old, job.answers(Rebuilt(tape)))
    assert proof.judged(rows, rounds=False) is Verdict.DIFFERENT


def test_rounding_is_forgiven_on_extremes_only_and_only_as_far_as_the_old_file_moves():
    def row(kind, relative, verdict):
        return proof.Row(kind, 8, "", relative, relative, 0.0, verdict)

    rows = [row("random", 1e-3, Verdict.CLOSE), row("extremes", 1e-3, Verdict.CLOSE)]
    moved = [row("extremes", 5e-4, Verdict.CLOSE)]
    assert [r.verdict for r in proof.excused(rows, moved)] == [Verdict.CLOSE, Verdict.SAME]
    still = [row("extremes", 5e-5, Verdict.CLOSE)]
    assert proof.excused(rows, still) == rows


def test_fused_sums_are_taken_apart(tmp_path):
    _, module = opened(FOUND["optimized residual"].save(tmp_path, "m"))
    names = {step.name for step in record(module, (torch.zeros(1, 3, 17, 17),)).steps}
    assert {"aten::_add_relu", "aten::_add_relu_"} <= names  # as optimize_for_mobile wrote them
    made = rebuild(module, (torch.zeros(1, 3, 17, 17),)).tape
    assert not any("_add_relu" in step.name for step in made.steps)


def test_the_first_step_that_differs_is_named(tmp_path):
    kind = FOUND["scripted"]
    job = prepared(kind.save(tmp_path, "model"), kind.examples)
    tape = lowered(job.tape)
    step = next(step for step in tape.steps if step.name.startswith("aten.mean"))
    step.call = lambda x, *rest, dtype=None: torch.zeros(x.shape[:2])
    network = Rebuilt(tape)
    rows = proof.compared(job.old, job.answers(network))
    assert "first at aten::mean" in rewrite._differs(job, network, rows)


def test_a_kernel_of_the_old_engine_that_mixes_up_its_memory_is_named(tmp_path):
    """QNNPACK's clamp reads channels_last memory and says that its answer is contiguous."""
    x = torch.randn(1, 3, 17, 17)
    with quietly():
        module = torch.jit.script(int8_fx(Picture(), x, ENGINE))  # relu6 stands by itself in it
    path = write(tmp_path / "m.pt", saved(module))
    found = rewrite.rescue(path, tmp_path / "out", (XT,), timed=False)
    for outcome in found.outcomes:
        assert "first at aten::relu6" in outcome.refusal
        assert "channels_last" in outcome.refusal
    assert not found.ok and not (tmp_path / "out").exists()


def test_an_input_that_is_written_into_stays_as_it_is(tmp_path):
    kind = FOUND["in place"]
    _, module = opened(kind.save(tmp_path, "model"))
    x = torch.randn(3, 4)
    network = rebuild(module, (x,))
    before = x.clone()
    answer = network(x)
    assert torch.equal(x, before)
    assert torch.equal(answer, module(before.clone()))


def test_numbers_among_the_inputs_become_part_of_the_program(tmp_path):
    _, module = opened(FOUND["list in"].save(tmp_path, "model"))
    parts = [torch.randn(2, 3), torch.randn(2, 3)]
    network = rebuild(module, (parts, 3.0))
    assert torch.equal(network(*parts), module(parts, 3.0))


def test_int8_weights_stay_int8(tmp_path):
    _, module = opened(FOUND["int8 by channel"].save(tmp_path, "model"))
    held = dict(rebuild(module, (torch.randn(1, 3, 17, 17),)).named_buffers())
    weights = [x for x in held.values() if x.ndim > 1]
    assert weights and all(x.dtype == torch.int8 for x in weights)


# --- state --------------------------------------------------------------------------------------


def test_a_state_goes_in_and_comes_out(tmp_path):
    """The new file, driven by hand with what the .state.json says, over twelve calls."""
    kind = FOUND["ring buffer"]
    path = kind.save(tmp_path, "m")
    options = ["--example", "1x2x1", "--ending", ".pte", "--json", "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app, ["rescue", str(path), *options])
    assert done.exit_code == 0, done.output
    told = json.loads((tmp_path / "out" / "m.state.json").read_text())
    assert told == json.loads(done.stdout)[0]["state"]
    (ring,) = told
    assert (ring["name"], ring["input"], ring["output"], ring["begins"]) == ("ring", 1, 1, 1.0)
    state = torch.full(ring["shape"], ring["begins"])
    session, old = runtimes.load(tmp_path / "out" / "m.pte"), torch.jit.load(str(path))
    torch.manual_seed(3)
    for _ in range(12):
        x = torch.randn(1, 2, 1)
        answer, state = session.predict(x, state)
        assert torch.allclose(answer, old(x), atol=1e-5)
        assert torch.equal(state, old.ring)


def test_only_what_an_answer_depends_on_is_kept(tmp_path):
    def names(name):
        return [
            one.name for one in prepared(FOUND[name].save(tmp_path, "m"), FOUND[name].examples).kept
        ]

    assert names("streaming lstm") == ["h", "c"]  # and not calls
    assert names("list as state") == ["rows.1", "rows.2"]  # the first is dropped before it is read
    assert names("scripted") == []


def test_a_state_that_is_lost_would_be_seen(tmp_path):
    kind = FOUND["streaming lstm"]
    job = prepared(kind.save(tmp_path, "model"), kind.examples)
    network = Rebuilt(lowered(job.tape))

    def forgets(x, *state):
        return network(x, *(torch.zeros_like(part) for part in state))

    rows = proof.compared(job.old, job.answers(forgets))
    assert proof.judged(rows, rounds=False) is Verdict.DIFFERENT


@pytest.mark.skipif(
    "fbgemm" not in torch.backends.quantized.supported_engines, reason="float16 is made by FBGEMM"
)
@pytest.mark.parametrize(
    ("kind", "shape"), [(nn.Linear, "1x6"), (nn.LSTM, "3x1x6"), (nn.GRU, "3x1x6")]
)
def test_float16_weights_become_float32(kind, shape, tmp_path):
    torch.backends.quantized.engine = "fbgemm"
    with quietly():
        model = nn.Sequential(kind(6, 8))
        module = torch.jit.script(tq.quantize_dynamic(model.eval(), {kind}, dtype=torch.float16))
    path = write(tmp_path / "m.pt", saved(module))
    before = choose_engine()
    found = rewrite.rescue(path, tmp_path / "out", (shape,), endings=[], sourced=True)
    assert found.ok, found.refusal
    assert torch.backends.quantized.engine == before
    assert [one.name for one in found.findings] == [
        "float16 weights that the phone's engine does not load"
    ]
    assert "float16 weights" in found.inside.quantization
    held = dict(source.load(found.outcomes[0].path).named_buffers())
    assert {x.dtype for x in held.values()} == {torch.float32}


def test_rows_of_an_embedding_stay_int8(tmp_path):
    kind = FOUND["embedding of 8 bits"]
    job = prepared(kind.save(tmp_path, "model"), kind.examples)
    held = dict(Rebuilt(lowered(job.tape)).named_buffers())
    assert held["embedding_rows"].dtype == torch.int8
    assert held["embedding_rows"].shape == (50, 16)


def test_a_beginning_that_is_no_zeros_is_refused(tmp_path):
    path = write(tmp_path / "m.pt", saved(torch.jit.script(Waits(0.5).eval())))
    found = rewrite.rescue(path, tmp_path / "out", ("1x3",), sourced=True)
    for outcome in found.outcomes:
        assert "begins without h, which was taken to begin as zeros" in outcome.refusal
    assert len(found.outcomes) == 3 and not (tmp_path / "out").exists()


@pytest.mark.parametrize("version", [4, 5, 6, 7])
def test_older_bytecode_is_read_and_rebuilt(version, tmp_path):
    path = FOUND["optimized"].save(tmp_path, "new")
    with quietly():
        assert torch.jit.mobile._backport_for_mobile(str(path), str(tmp_path / "m.ptl"), version)
    inside = contents(*opened(tmp_path / "m.ptl"))
    assert inside.bytecode_version == version
    assert ("1.9" if version < 6 else "1.10") in inside.read_by
    job = prepared(tmp_path / "m.ptl", (XT,))
    network = Rebuilt(lowered(job.tape))
    rows = proof.compared(job.old, job.answers(network))
    assert proof.judged(rows, rounds=False) is Verdict.SAME


@pytest.mark.parametrize(
    "path", sorted((Path(__file__).parent / "old_files").iterdir()), ids=lambda p: p.stem
)
def test_what_torch_2_1_wrote_is_read_and_rebuilt(path):
    """Files that the virtual phone's torch 2.1.0 saved (scripts/make_old_files.py)."""
    kind = FOUND[path.stem.replace("-", " ")]
    job = prepared(path, kind.examples)
    rows = proof.compared(job.old, job.answers(Rebuilt(lowered(job.tape))))
    assert proof.judged(rows, kind.int8).ok, rows
    assert bool(job.kept) == kind.state


def test_methods_other_than_forward_are_listed_and_can_be_rebuilt(tmp_path):
    class Two(nn.Module):
        def forward(self, x):
            return x * 2

        @torch.jit.export
        def encode(self, x):
            return x + 1

    path = write(tmp_path / "two.pt", saved(torch.jit.script(Two())))
    found, module = opened(path)
    assert contents(found, module).methods == ("encode",)
    x = torch.randn(2, 3)
    assert torch.equal(rebuild(module, (x,), "encode")(x), x + 1)
    command = ["rescue", str(path), "--method", "encode", "--example", "2x3", "--json"]
    options = ["--ending", ".pte", "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app, [*command, *options])
    assert done.exit_code == 0, done.output
    (told,) = json.loads(done.stdout)
    assert (
        told["contents"]["methods"] == ["forward"] and "aten::add" in told["contents"]["operators"]
    )
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["two-encode.pte"]
    assert torch.equal(runtimes.load(tmp_path / "out" / "two-encode.pte").predict(x), x + 1)
    with pytest.raises(ModelFileError, match="no method decode; its methods are encode, forward"):
        rewrite.rescue(path, method="decode")


# --- the new files ------------------------------------------------------------------------------


def made(name, folder, ending):
    kind = FOUND[name]
    path = kind.save(folder, "model")
    found = rewrite.rescue(
        path, folder / "out", kind.examples, endings=[ending], timed=False
    )  # fmt: skip
    assert found.refusal == ""
    (outcome,) = found.outcomes
    return kind, outcome


def check(kind, outcome, folder):
    if kind.no_pte and outcome.ending == ".pte":
        assert kind.no_pte in outcome.refusal and not (folder / "out").exists()
        return
    if outcome.refusal:
        pytest.fail(outcome.refusal)
    assert outcome.verdict is not None and outcome.verdict.ok
    made = {f"model{outcome.ending}", *(["model.state.json"] if kind.state else [])}
    assert {path.name for path in (folder / "out").iterdir()} == made
    assert sum(row.many for row in outcome.rows if row.output == outcome.rows[0].output) >= LEAST
    if not kind.int8:
        rows = [row for row in outcome.rows if row.inputs != "extremes" or not outcome.note]
        assert max(row.relative for row in rows) < 1e-4


@pytest.mark.parametrize("ending", rewrite.ENDINGS)
@pytest.mark.parametrize("name", QUICK)
def test_a_new_file_answers_as_the_old_one(name, ending, tmp_path):
    check(*made(name, tmp_path, ending), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in FOUND if name not in QUICK])
def test_every_kind_becomes_a_pte(name, tmp_path):
    check(*made(name, tmp_path, ".pte"), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in FOUND if name not in QUICK])
def test_every_kind_becomes_a_tflite(name, tmp_path):
    check(*made(name, tmp_path, ".tflite"), tmp_path)


def test_static_int8_is_handed_to_xnnpack_whole(tmp_path):
    _, outcome = made("int8 fx by tensor", tmp_path, ".pte")
    assert outcome.inside.operators == {}
    assert "qint8" in outcome.inside.dtypes and "fp32" not in outcome.inside.dtypes


@pytest.mark.parametrize("ending", rewrite.ENDINGS)
def test_a_new_file_that_answers_otherwise_is_not_kept(ending, tmp_path, monkeypatch):
    kind = FOUND["two in, dict out"]
    other = rewrite._converted

    def lies(network, job, ending, **options):
        for name, buffer in network.named_buffers():
            if name.endswith("bias"):
                buffer.add_(0.1)
        return other(network, job, ending)

    monkeypatch.setattr(rewrite, "_converted", lies)
    found = rewrite.rescue(
        kind.save(tmp_path, "model"), tmp_path / "out", kind.examples, endings=[ending], timed=False
    )
    assert not found.ok and not (tmp_path / "out").exists()
    (outcome,) = found.outcomes
    assert f"The {ending} answers otherwise" in outcome.refusal
    assert outcome.verdict is Verdict.DIFFERENT


@pytest.mark.parametrize(
    "name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in FOUND]
)
def test_the_source_answers_as_the_file(name, tmp_path):
    kind = FOUND[name]
    path = kind.save(tmp_path, "my model")
    out = tmp_path / "out"
    found = rewrite.rescue(path, out, kind.examples, endings=[], sourced=True)
    assert found.ok, found
    (outcome,) = found.outcomes
    assert outcome.verdict.ok
    more = {"my model.state.json"} if kind.state else set()
    assert {p.name for p in out.iterdir()} == {"my_model.py", "my_model.weights.pt", *more}
    network = source.load(outcome.path)
    job = prepared(path, kind.examples)
    again = Rebuilt(lowered(job.tape))
    for ours, theirs in zip(
        leaves(network(*job.inputs)).values(), leaves(again(*job.inputs)).values(), strict=True
    ):
        assert torch.equal(ours, theirs)


def test_source_that_cannot_be_written_is_refused(tmp_path):
    kind = FOUND["scripted"]
    tape = lowered(prepared(kind.save(tmp_path, "m"), kind.examples).tape)
    tape.steps[0].call = lambda *args: None
    with pytest.raises(RescueError, match="cannot be written as Python source"):
        source.source(Rebuilt(tape), "w.pt", "m.pt", "")


# --- what is found in a file --------------------------------------------------------------------


def test_the_silent_fold_bug_is_seen_without_the_source(tmp_path):
    model = statistics(Picture())
    x = torch.randn(1, 3, 17, 17)
    with quietly():
        victim = optimized(torch.jit.trace(model, x))
        healthy = optimized(torch.jit.freeze(torch.jit.trace(model, x)))
        paths = [tmp_path / "victim.ptl", tmp_path / "healthy.ptl"]
        victim._save_for_lite_interpreter(str(paths[0]))
        healthy._save_for_lite_interpreter(str(paths[1]))
    assert not torch.allclose(victim(x), model(x), atol=1e-2)
    found = findings(paths[0])["the silent fold bug"]
    assert "none of its 2 convolutions has a bias" in found.evidence
    assert "the silent fold bug" not in findings(paths[1])
    assert "the silent fold bug" not in findings(FOUND["scripted"].save(tmp_path, "plain"))


def test_training_mode_is_found_and_eval_is_a_way_out(tmp_path):
    module = torch.jit.script(statistics(Picture()).train())
    path = write(tmp_path / "m.pt", saved(module))
    assert "training mode left on" in findings(path)
    assert "training mode left on" not in findings(FOUND["scripted"].save(tmp_path, "fine"))
    found = rewrite.rescue(
        path, tmp_path / "out", (XT,), endings=[".pte"], evaluate=True, timed=False
    )
    assert found.ok
    x = torch.randn(1, 3, 17, 17)
    answer = runtimes.load(found.outcomes[0].path).predict(x)
    assert torch.allclose(answer, module.eval()(x), atol=1e-5)


def test_a_decision_is_found_and_one_on_shapes_is_not(tmp_path):
    name = "control flow that may depend on data"
    assert "while" in findings(REFUSED["while loop"].save(tmp_path, "w"))[name].evidence
    assert name not in findings(FOUND["branches on shapes"].save(tmp_path, "b"))
    assert name not in findings(FOUND["int8 by tensor"].save(tmp_path, "q"))

    class Counts(nn.Module):
        def forward(self, x):
            return x if not len(x) else x * 2  # whether a number is 0, and it is one of a shape

    assert name not in findings(write(tmp_path / "n.pt", saved(torch.jit.script(Counts()))))


def test_names_of_people_in_debug_records_are_found(tmp_path):
    path = FOUND["two in, dict out"].save(tmp_path, "m")
    assert changed(path, tmp_path / "leak.pt", debug=b"/home/jane.doe/work/net.py")
    found = findings(tmp_path / "leak.pt")["names of people's folders"]
    assert "jane.doe" in found.evidence
    assert changed(path, tmp_path / "fine.pt", debug=b"/opt/build/net.py")
    assert "names of people's folders" not in findings(tmp_path / "fine.pt")


def changed(path, to, debug=b"", **records):
    """Write an archive anew with other records, the checksums right."""
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(to, "w") as new:
        for entry in old.namelist():
            inner = entry.split("/", 1)[-1]
            content = debug if debug and inner.endswith(".debug_pkl") else old.read(entry)
            new.writestr(entry, records.get(inner, content))
    return True


def test_the_contents_of_a_file(tmp_path):
    path = FOUND["optimized"].save(tmp_path, "m")
    inside = contents(*opened(path))
    assert inside.kind == "lite interpreter (.ptl)" and inside.bytecode_version == 8
    assert inside.operators["prepacked::conv2d_clamp_run"] == 2
    assert inside.inputs == ("x Tensor",)
    assert inside.quantization == "none"
    assert {"weights", "code", "bytecode"} <= set(inside.parts)
    inside = contents(*opened(FOUND["int8 by channel"].save(tmp_path, "q")))
    assert inside.quantization == "static, weights by channel, symmetric"
    inside = contents(*opened(FOUND["dynamic int8 lstm"].save(tmp_path, "d")))
    assert inside.quantization == "dynamic"


def test_extra_files_are_listed(tmp_path):
    path = tmp_path / "m.pt"
    module = torch.jit.script(nn.Linear(2, 2))
    torch.jit.save(module, str(path), _extra_files={"labels.txt": "cat\ndog"})
    assert contents(*opened(path)).extra_files == ("labels.txt",)


def test_operators_that_the_last_phone_packages_lack_are_named(tmp_path):
    class Norm(nn.Module):
        def forward(self, x):
            return torch.rms_norm(x, [4])  # torch 2.4

    path = write(tmp_path / "m.pt", saved(torch.jit.script(Norm())))
    assert contents(*opened(path)).lacking == ("aten::rms_norm",)
    found = findings(path)["operators that are newer than the last phone packages"]
    assert "aten::rms_norm" in found.evidence
    assert contents(*opened(FOUND["optimized"].save(tmp_path, "o"))).lacking == ()
    assert "newer" not in " ".join(findings(FOUND["traced"].save(tmp_path, "t")))


def test_a_flatbuffer_is_read_and_rebuilt(tmp_path):
    path = tmp_path / "m.ff"
    with quietly():
        FOUND["optimized"].make()._save_for_lite_interpreter(str(path), _use_flatbuffer=True)
    found, module = opened(path)
    inside = contents(found, module)
    assert inside.kind == "lite interpreter, flatbuffer (.ff)" and inside.bytecode_version == 9
    assert inside.operators["prepacked::conv2d_clamp_run"] == 2
    job = jobs.prepared(found, examples.find(module, (XT,)), inside)
    rows = proof.compared(job.old, job.answers(Rebuilt(lowered(job.tape))))
    assert proof.judged(rows, rounds=False) is Verdict.SAME
    whole = path.read_bytes()
    write(path, whole[: len(whole) // 2])
    with pytest.raises(ModelFileError, match="m.ff is a flatbuffer model .* damaged or cut off"):
        opened(path)
    write(path, whole + b"aten::save")
    with pytest.raises(ModelFileError, match="reads or writes files itself"):
        opened(path)


# --- examples -----------------------------------------------------------------------------------


def test_examples_are_read():
    assert examples.parse("1x3x4").shape == (1, 3, 4)
    assert examples.parse("2,5:int64").dtype == torch.int64
    assert examples.parse("=16000") == 16000
    assert examples.parse("=0.5") == 0.5
    assert examples.parse("=True") is True
    assert examples.parse(":float32").shape == ()
    for wrong in ("1xx2", "1x2:int65", "=many", "cat"):
        with pytest.raises(RescueError, match="--example"):
            examples.parse(wrong)


def test_shapes_are_inferred_from_layers(tmp_path):
    def text(module):
        path = write(tmp_path / "m.pt", saved(torch.jit.script(module.eval())))
        return examples.find(opened(path)[1]).text

    flat = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 36, 2))
    assert text(flat) == "float32 (1, 3, 8, 8)"
    assert text(Picture()) == "float32 (1, 3, 224, 224)"
    assert text(nn.Linear(7, 2)) == "float32 (1, 7)"
    assert text(nn.Sequential(nn.Embedding(9, 4))) == "int64 (1, 16)"


def test_bundled_inputs_are_the_first_that_are_compared(tmp_path):
    job = prepared(FOUND["bundled"].save(tmp_path, "m"), ())
    assert list(job.groups) == ["bundled", "random", "extremes"]
    assert len(job.groups["bundled"]) == 2


def test_what_cannot_be_inferred_is_asked_for_in_one_sentence(tmp_path):
    path = FOUND["two in, dict out"].save(tmp_path, "m")
    _, module = opened(path)
    assert examples.find(module).text == "float32 (1, 4), float32 (1, 5)"
    path = FOUND["list in"].save(tmp_path, "l")
    with pytest.raises(RescueError, match=r"say it with --example .* as in --example 1x3x224x224"):
        examples.find(opened(path)[1])
    with pytest.raises(RescueError, match="fewer examples than were given"):
        examples.find(module, ("1x4", "1x5", "1x6"))
    with pytest.raises(RescueError, match="is missing"):
        examples.find(module, ("1x4",))


def test_a_file_without_inputs_or_forward_is_refused(tmp_path):
    class Constant(nn.Module):
        def forward(self):
            return torch.ones(2)

    path = write(tmp_path / "m.pt", saved(torch.jit.script(Constant())))
    assert "takes no inputs" in rewrite.rescue(path).refusal

    class Encodes(nn.Module):
        @torch.jit.export
        def encode(self, x):
            return x + 1

    path = write(tmp_path / "e.pt", saved(torch.jit.script(Encodes())))
    with pytest.raises(ModelFileError, match="no method forward; its methods are encode.*--method"):
        opened(path)


def test_entries_of_a_dictionary_are_given_by_name(tmp_path):
    _, module = opened(FOUND["dict in, named tuple out"].save(tmp_path, "m"))
    (found,) = examples.find(module, ("left=1x3", "right=1x2")).first
    assert {name: tuple(x.shape) for name, x in found.items()} == {"left": (1, 3), "right": (1, 2)}


def test_integers_are_drawn_among_an_embeddings_rows(tmp_path):
    _, module = opened(FOUND["embedding"].save(tmp_path, "m"))
    first = examples.find(module, ("2x7:int64",)).first
    drawn = groups(record(module, first), first, ())
    values = torch.stack([x for inputs in drawn.values() for (x,) in inputs])
    assert values.min() == 0 and 10 < values.max() < 50


# --- damaged and hostile files ------------------------------------------------------------------


@pytest.fixture(scope="module")
def intact(tmp_path_factory):
    return FOUND["optimized"].save(tmp_path_factory.mktemp("intact"), "intact").read_bytes()


@pytest.mark.parametrize("share", [part / 20 for part in range(20)])
def test_a_truncated_file_is_refused(share, intact, tmp_path):
    path = write(tmp_path / "cut.ptl", intact[: int(len(intact) * share)])
    with pytest.raises(ModelFileError, match=r"cut.ptl is (empty|not a complete)"):
        rewrite.rescue(path, tmp_path / "out", (XT,))
    assert not (tmp_path / "out").exists()


def test_a_changed_byte_is_refused(intact, tmp_path):
    refused = 0
    for place in range(0, len(intact), max(1, len(intact) // 60)):
        changed = bytearray(intact)
        changed[place] ^= 0x20
        path = write(tmp_path / "changed.ptl", bytes(changed))
        try:
            opened(path)
        except ModelFileError as error:
            refused += 1
            assert str(error).startswith("changed.ptl ")
    assert refused > 30  # the rest are padding between records, which holds nothing


def test_200_changed_bytes_with_the_checksums_kept_right_end_in_a_sentence(tmp_path):
    path = FOUND["two in, dict out"].save(tmp_path, "m")
    chance = random.Random(0)
    with zipfile.ZipFile(path) as whole:
        records = {n.split("/", 1)[-1]: whole.read(n) for n in whole.namelist()}
    names = [n for n in records if records[n] and not n.endswith(".debug_pkl")]
    refused = 0
    for turn in range(200):
        name = chance.choice(names)
        content = bytearray(records[name])
        place = chance.randrange(len(content))
        content[place] ^= chance.randrange(1, 256)
        changed(path, tmp_path / "c.pt", **{name: bytes(content)})
        try:
            if rewrite.rescue(tmp_path / "c.pt", None, ("1x4", "1x5")).refusal:
                refused += 1
            module = archive.load(archive.examine(tmp_path / "c.pt"))
            record(module, (torch.zeros(1, 4), torch.zeros(1, 5)))
        except (ModelFileError, RescueError, ShapeError) as error:
            refused += 1
            assert "\n" not in str(error), turn
    assert 50 < refused < 200  # a changed weight is a weight


class Calls:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_a_pickle_that_wants_to_call_something_is_not_loaded(tmp_path):
    path = FOUND["scripted"].save(tmp_path, "m")
    for protocol in (2, 4):
        evil = pickle.dumps(Calls(tmp_path / "called"), protocol)
        changed(path, tmp_path / "evil.pt", **{"data.pkl": evil})
        with pytest.raises(ModelFileError, match=r"wants to call posix.mkdir"):
            opened(tmp_path / "evil.pt")
        with pytest.raises(RuntimeError):  # and torch's own reader would not either
            torch.jit.load(str(tmp_path / "evil.pt"))
    assert not (tmp_path / "called").exists()


def test_code_that_writes_files_is_not_loaded(tmp_path):
    class Writes(nn.Module):
        def __init__(self, path: str):
            super().__init__()
            self.path = path

        @torch.jit.export
        def __getstate__(self):
            return self.path, self.training

        @torch.jit.export
        def __setstate__(self, state: tuple[str, bool]):
            self.path, self.training = state[0], state[1]
            torch.save(torch.ones(1), self.path)

        def forward(self, x):
            return x

    target = tmp_path / "written"
    path = write(tmp_path / "m.pt", saved(torch.jit.script(Writes(str(target)))))
    with pytest.raises(ModelFileError, match="reads or writes files itself"):
        opened(path)
    assert not target.exists()
    torch.jit.load(str(path))  # this is what is prevented
    assert target.exists()


def test_an_archive_that_unpacks_to_far_more_is_not_unpacked(tmp_path):
    path = tmp_path / "bomb.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bomb:
        bomb.writestr("bomb/constants.pkl", bytes(200_000_000))
    with pytest.raises(ModelFileError, match="as no model does"):
        archive.examine(path)


def test_other_kinds_of_files_are_named(tmp_path):
    checkpoint = io.BytesIO()
    torch.save({"w": torch.ones(2)}, checkpoint)
    kinds = {
        "a pickled checkpoint": checkpoint.getvalue(),
        "not a complete model archive": b"hello" * 20,
        "is empty": b"",
    }
    for words, content in kinds.items():
        with pytest.raises(ModelFileError, match=words):
            archive.examine(write(tmp_path / "m.pt", content))
    with pytest.raises(ModelFileError, match="There is no file .*none.pt"):
        archive.examine(tmp_path / "none.pt")


# --- the command --------------------------------------------------------------------------------


def test_the_command_on_one_file(tmp_path):
    path = FOUND["two in, dict out"].save(tmp_path, "m")
    shapes = ["--example", "2x4", "--example", "2x5"]
    done = CliRunner().invoke(app, ["rescue", str(path), *shapes, "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"m.pte", "m.tflite"}
    assert "aten::linear" in done.output and "same" in done.output


def test_the_command_on_a_folder_fails_where_something_was_refused(tmp_path):
    folder = tmp_path / "app"
    folder.mkdir()
    FOUND["two in, dict out"].save(folder, "good")
    write(folder / "state.pt", saved(torch.jit.script(Listed())))
    write(folder / "cut.ptl", b"PK" * 40)
    options = ["--json", "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app, ["rescue", str(folder), *options])
    assert done.exit_code == 1
    found = {os.path.basename(one["file"]): one for one in json.loads(done.stdout)}
    assert found["good.pt"]["ok"] and len(found["good.pt"]["outcomes"]) == 2
    assert "not a complete model archive" in found["cut.ptl"]["refusal"]
    assert not found["state.pt"]["ok"] and "--example" in found["state.pt"]["refusal"]
    assert CliRunner().invoke(app, ["rescue", str(tmp_path / "out")]).exit_code == 1


def test_the_command_makes_one_kind_of_file_only(tmp_path):
    folder = tmp_path / "app"
    folder.mkdir()
    FOUND["optional left out"].save(folder, "m")
    options = ["--example", "2x4", "--out", str(tmp_path / "out"), "--ending", ".pte"]
    done = CliRunner().invoke(app, ["rescue", str(folder), *options])
    assert done.exit_code == 0, done.output
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["m.pte"]
    assert ".pte" in done.output and ".tflite" not in done.output
    done = CliRunner().invoke(app, ["rescue", str(folder), "--ending", ".onnx"])
    assert done.exit_code == 2 and ".onnx cannot be made" in done.output


def test_the_readme_says_how_many_kinds_there_are():
    text = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
    through = sum(not one.refused for one in FOUND.values())
    assert f"{through} kinds of" in text
    assert f"{len(REFUSED)} are refused with a reason" in text


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path):
    path = FOUND["scripted"].save(tmp_path, "m")
    (tmp_path / "taken").write_text("a file")
    said = []
    found = rewrite.rescue(
        path, tmp_path / "taken" / "new", FOUND["scripted"].examples, endings=(".pte",),
        timed=False, on_step=said.append,
    )  # fmt: skip
    assert "Cannot write into" in found.refusal and "--out" in found.refusal and not found.ok
    assert said == ["the old file's answers", ".pte"]
    result = CliRunner().invoke(app, ["rescue", str(tmp_path / "nothing.ptl")])
    assert result.exit_code == 1 and "There is no file" in " ".join(result.output.split())
