"""Properties of affine quantization: of chapter 03's own cells, and of its exercise's solution."""

import importlib.util
from pathlib import Path

import nbformat
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

ROOT = Path(__file__).resolve().parent.parent
SPEC = importlib.util.spec_from_file_location("ch03", ROOT / "tests" / "solutions" / "ch03.py")
ch03 = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(ch03)

# Four decimals: ranges so narrow that a scale underflows are not what a layer computes with.
finite = st.floats(-1000, 1000).map(lambda number: round(number, 4))
values = st.lists(finite, min_size=1, max_size=40)
bits = st.integers(2, 8)


def chapter_formula():
    """The cells of section 1 that compute scale, zero point, and the way there and back."""
    notebook = nbformat.read(ROOT / "notebooks" / "03_quantization_and_pruning.ipynb", as_version=4)
    sources = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    ruler = next(s for s in sources if s.startswith("scale = (high - low) / 255"))
    there = next(s for s in sources if s.startswith("q = ((x / scale).round()"))
    return ruler, there.split("\nprint")[0]


RULER, THERE_AND_BACK = chapter_formula()


def as_the_chapter_does(x):
    names = {"x": x, "low": min(x.min().item(), 0.0), "high": max(x.max().item(), 0.0)}
    exec(RULER, names)
    exec(THERE_AND_BACK, names)
    return names


@given(values.filter(lambda v: max(*v, 0.0) - min(*v, 0.0) > 1e-2))
def test_the_cells_of_the_chapter_round_to_the_nearest_mark(numbers):
    x = torch.tensor(numbers)
    cell = as_the_chapter_does(x)
    # Half a mark, and another half where the rounded zero point moves an end of the ruler.
    assert ((cell["back"] - x).abs() <= cell["scale"] * 1.001 + 1e-4).all()
    assert cell["q"].min() >= 0 and cell["q"].max() <= 255
    same = torch.quantize_per_tensor(x, cell["scale"], cell["zero_point"], torch.quint8)
    assert ((same.int_repr().float() - cell["q"]).abs() <= 1).all()
    assert (same.dequantize() - cell["back"]).abs().max() <= cell["scale"] * 1.001


@given(finite, finite, bits)
def test_zero_is_always_a_mark(a, b, bits):
    scale, zero_point = ch03.right_scale_zero_point(min(a, b), max(a, b), bits)
    assert isinstance(zero_point, int)
    assert scale > 0
    assert 0 <= zero_point <= 2**bits - 1
    assert ch03.right_fake_quantize(torch.zeros(1), scale, zero_point, bits).item() == 0.0


@given(values, bits)
def test_error_inside_the_ruler_is_at_most_half_a_mark(numbers, bits):
    x = torch.tensor(numbers, dtype=torch.float64)
    scale, zero_point = ch03.right_scale_zero_point(x.min().item(), x.max().item(), bits)
    low, high = -zero_point * scale, (2**bits - 1 - zero_point) * scale
    inside = (x >= low) & (x <= high)
    error = (ch03.right_fake_quantize(x, scale, zero_point, bits) - x).abs()
    assert (error[inside] <= scale / 2 * (1 + 1e-9)).all()


@given(values, st.floats(0.001, 10), bits, st.data())
def test_it_agrees_with_torch_is_idempotent_monotone_and_bounded(numbers, scale, bits, draw):
    zero_point = draw.draw(st.integers(0, 2**bits - 1))
    x = torch.tensor(sorted(numbers), dtype=torch.float64)
    once = ch03.right_fake_quantize(x, scale, zero_point, bits)
    assert torch.allclose(ch03.right_fake_quantize(once, scale, zero_point, bits), once)
    assert (once.diff() >= 0).all()
    assert once.min() >= -zero_point * scale - 1e-9
    assert once.max() <= (2**bits - 1 - zero_point) * scale + 1e-9
    torchs = torch.fake_quantize_per_tensor_affine(x.float(), scale, zero_point, 0, 2**bits - 1)
    apart = (torchs.double() - once).abs()
    tie = ((x / scale) % 1 - 0.5).abs() < 1e-3
    assert (apart[~tie] < 1e-3 * (1 + once.abs()[~tie])).all()


@settings(max_examples=25)
@given(values.filter(lambda v: max(v) - min(v) > 0.1))
def test_more_bits_never_hurt(numbers):
    x = torch.tensor(numbers, dtype=torch.float64)
    worst = []
    for bits in (2, 4, 8):
        scale, zero_point = ch03.right_scale_zero_point(x.min().item(), x.max().item(), bits)
        worst.append((ch03.right_fake_quantize(x, scale, zero_point, bits) - x).abs().max().item())
    assert worst[2] <= worst[0] + 1e-9


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_properties_turn_red_on_wrong_solutions(number):
    wrong = getattr(ch03, f"wrong_fake_quantize_{number}")
    x = torch.linspace(-100, 100, 301, dtype=torch.float64)
    scale, zero_point = 0.25, 6
    right = ch03.right_fake_quantize(x, scale, zero_point, 4)
    assert not torch.allclose(wrong(x, scale, zero_point, 4).double(), right)
