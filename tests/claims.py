"""What the chapters' prose claims about a cell's result, asserted behind that cell.

A cell prints a figure for its reader. Whether the figure still supports the sentence below it is
asked here: the expression is evaluated in the chapter's own kernel, right after the cell, with
whatever the chapter has in memory. It has to hold on any host: a claim about time is a ratio from
one run, with margin; one about a trained network leaves room for another processor's rounding.
"""

from __future__ import annotations

from nbval.plugin import IPyNbCell

#: Chapter, the cell's id, and an expression that has to be true after the cell.
CLAIMS: dict[str, dict[str, str]] = {
    "00_start_here": {
        "cell-011": "all(f.ok for f in doctor.examine() if f.group == 'needed')",
    },
    "01_train_a_cnn": {
        "cell-014": "ratio.high < 6",
        "cell-016": "one['full'].ratio(one['depthwise']).median > 2",
        "cell-025": "race['full'].ratio(race['split']).median < 10",
        "cell-034": "test_accuracy >= 0.975",
        "cell-059": "peak.added_mib < peak.total_mib / 4",
        "cell-066": (
            "share(typical, names[:4]) > 2 * share(held, names[:4])"
            " and share(typical, names[8:]) < share(held, names[8:])"
        ),
    },
    "01_image_classification": {
        "cell-060": "judged(answers['fx-int8']) < 0.1 and judged(answers['eager-int8']) > 0.6",
        "cell-067": (
            "all(abs(judged(answers[name]) - judged(reference)) < 0.1"
            " for name in ('eager-int8', 'fx-mended', 'fx-channel'))"
            " and parity.compare(reference, answers['fx-channel']).rel_l2"
            " < 0.75 * parity.compare(reference, answers['fx-mended']).rel_l2"
        ),
        "cell-075": "compiler is None or all(o[1] and o[0] < 1e-4 for o in off)",
    },
    "03_detection": {
        "cell-017": "same == len(crowds)",
        "cell-048": (
            "quality['two outputs', 'int8']['map'] > quality['two outputs', 'float']['map'] - 0.03"
            " and quality['one, pixels', 'int8']['map']"
            " < 0.75 * quality['one, pixels', 'float']['map']"
        ),
        "cell-055": (
            "lost['bars forgotten on the way back']['map'] < 0.05"
            " and lost['corners as y, x']['map'] < 0.05"
            " and 0.25 < lost['stretched, not letterboxed']['map'] < lost['nothing']['map']"
        ),
        "cell-066": "compiler is None or same == len(crowds)",
        "cell-068": "plain.ok and small.ok and refused.missing == ('torchvision::nms',)",
    },
    "03_quantization_and_pruning": {
        "cell-017": "((back - x) / scale).abs().max() < 0.501",
        "cell-035": (
            "same.rel_l2 < 0.05 and"
            " measure.file_kb(out / 'reader_int8.pt') / measure.file_kb(out / 'reader.pt') < 0.3"
        ),
        "cell-084": "measure.accuracy(qat_scores, data.test.labels) >= 0.98",
        "cell-092": (
            "desktop == 'qnnpack'"
            " or timings['int8, qnnpack'].ratio(timings['int8, desktop']).median > 1.15"
        ),
        "cell-114": "same.rel_l2 < 1e-5",
        "cell-118": "measure.accuracy(pruned_scores, data.test.labels) >= 0.96",
    },
    "04_optimize_for_mobile": {
        "cell-101": "timings['optimized, .to'].ratio(timings['optimized, as loaded']).high < 0.95",
    },
    "04_vision_transformer": {
        "cell-016": "accuracy['TinyMobileNet'] > 0.98 and 0.86 < accuracy['transformer'] < 0.975",
        "cell-057": "taken[16, 64] < 0.5 and 0.7 < taken[35, 35] < taken[32, 32] + 0.01",
        "cell-070": (
            "all(parity.compare(scores, eight[name]).agreement > 0.97"
            " for name in ('vit-dynamic', 'vit-plain-dynamic', 'vit-static-layers'))"
            " and parity.compare(scores, eight['vit-static']).rel_l2"
            " > parity.compare(scores, eight['vit-static-layers']).rel_l2"
        ),
        "cell-074": "lost['nothing'][0] > 0.86 and max(a for a, _ in [*lost.values()][1:]) < 0.6",
        "cell-082": "compiler is None or difference < 1e-5",
        "cell-084": (
            "all(there[name].ok for name in asked[:3]) and there['vit-plain-dynamic'].rel_l2 < 0.05"
        ),
    },
    "07_on_a_device": {
        "cell-018": "all(result.rel_l2 < 1e-6 for result in results.values())",
        "cell-042": (
            "changed < 0.01 and (skewed - test.images).abs().max() > 0.01"
            " and not torch.equal(right, wrong)"
        ),
    },
    "07_voice_activity": {
        "cell-017": "task.score(likely, targets) > 0.93",
        "cell-023": "max(rights) < 0.85",
        "cell-027": (
            "max(task.score(broken[name], targets) for name in ('forgotten', 'state forgotten'))"
            " < 0.8"
            " and 0.75 < task.score(broken['shared'], targets) < 0.9"
            " and abs(task.score(broken['context forgotten'], targets) - 0.944) < 0.02"
            " and (broken['two at once'] - likely).abs().max() < 1e-4"
            " and task.score(broken['state forgotten'], targets) - 0.538"
            " < 0.6 * (task.score(likely, targets) - 0.538)"
        ),
        "cell-033": (
            "0.8 < task.score(samples['not scaled: -32768 to 32767'], targets) < 0.88"
            " and task.score(samples['16,000 a second, said to be 8,000'], targets) > 0.8"
            " and task.score(samples['8,000 a second, said to be 16,000'], targets) < 0.7"
            " and samples['scaled twice'].max() < 0.5"
        ),
        "cell-045": (
            "(stream(runtimes.load(paths['used']), pieces) - likely).abs().max() > 0.1"
            " and (stream(runtimes.load(paths['inside']), pieces) - likely).abs().max() < 1e-4"
            " and paths['inside'].stat().st_size < 0.6 * paths['frozen'].stat().st_size"
        ),
        "cell-055": (
            "set(files) >= {'.pte', '.tflite'} and all((stream(carried(runtimes.load(files[name])),"
            " pieces) - likely).abs().max() < 1e-4 for name in ('.pte', '.tflite'))"
        ),
        "cell-062": (
            "len(two) == 5 and after > 10 * before and before < 5 * hiss"
            " and [100 < (min(a for a, b in two if b * 0.032 > begin) + 1) * 32 - begin * 1000"
            " for begin, _ in recording.marks] == [True, False, False, False]"
        ),
        "cell-068": "compiler is None or same == len(sounds)",
        "cell-070": (
            "one_by_one.ok and all_at_once.ok"
            " and all_at_once.host_accuracy < one_by_one.host_accuracy - 0.1"
        ),
    },
    "08_executorch": {
        "cell-029": "slower.low > 20",
    },
    "10_rescue": {
        "cell-037": "pte.stat().st_size < 1.2 * files[1].stat().st_size",
        "cell-045": "off.max() <= 1 and (off == 0).float().mean() > 0.99",
        "cell-061": (
            "new.path.stat().st_size < 1.2 * old.path.stat().st_size"
            " and {'qint8', 'qint32'} == set(new.inspect().dtypes) and not new.inspect().operators"
        ),
    },
    "11_your_own_model": {
        "cell-020": (
            "max(errors['urgent']) < 1e-6 and errors['want'][10] < 1e-6"
            " and min(errors['want'][:10]) > 0.03 and min(errors['want'][11:]) > 0.03"
        ),
    },
    "12_accelerators": {
        "cell-027": "(apart == 0).float().mean() > 0.9 and apart.max() <= 2",
        "cell-035": (
            "0.25 < (cycles['Rescale'] + cycles['Add']) / cycles.total() < 0.42"
            " and macs['DepthwiseConv2D'] < 0.1 * macs.total()"
            " and cycles['DepthwiseConv2D'] / cycles.total()"
            " > 2.5 * macs['DepthwiseConv2D'] / macs.total()"
        ),
        "cell-039": "2 < small / large < 3",
        "cell-049": "equal.float().mean() > 0.99",
    },
}


def said(kernel, expression: str, seconds: float = 60) -> str:
    """What the kernel makes of an expression, as text; nothing in its memory changes."""
    message = kernel.kc.execute("", silent=True, user_expressions={"claim": f"bool({expression})"})
    while (reply := kernel.get_message(stream="shell", timeout=seconds))["parent_header"].get(
        "msg_id"
    ) != message:
        pass
    answer = reply["content"]["user_expressions"]["claim"]
    return answer["data"]["text/plain"] if answer["status"] == "ok" else answer["evalue"]


_run = IPyNbCell.runtest


def runtest(cell) -> None:
    """What nbval does, and then the claim of the cell, if it has one."""
    _run(cell)
    claim = CLAIMS.get(cell.parent.path.stem, {}).get(cell.cell.get("id"))
    if claim and (answer := said(cell.parent.kernel, claim)) != "True":
        cell.raise_cell_error(f"The prose needs {claim}, and the kernel says: {answer}")


def pytest_configure(config) -> None:
    """Installed once, for every notebook."""
    IPyNbCell.runtest = runtest
