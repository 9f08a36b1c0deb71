"""The program that runs on the virtual phone. Plain Python with torch; no numpy, no course.

It answers requests on stdin: one line of JSON, followed by as many raw bytes as its ``bytes``
says. The answer has the same form. Tensors are described by a list of their types and shapes, and
their elements follow one another in the machine's order, row by row; nothing is unpickled.
``machine`` is the other side.
"""

import ctypes
import importlib
import json
import os
import re
import sys
import warnings

warnings.filterwarnings("ignore")

import torch  # noqa: E402


def unpacked(described, content):
    """Tensors of the types and shapes that are described, from their bytes."""
    found, start = [], 0
    for one in described:
        dtype = getattr(torch, one["dtype"])
        count = 1
        for size in one["shape"]:
            count *= size
        flat = torch.empty(0, dtype=dtype)
        if count:
            flat = torch.frombuffer(content, dtype=dtype, count=count, offset=start)
        found.append(flat.reshape(one["shape"]))
        start += count * flat.element_size()
    return found


def leaves(tree, path=""):
    """Paths and tensors of what a model answers; quantized ones as floats."""
    if isinstance(tree, torch.Tensor):
        plain = tree.detach()
        plain = plain.dequantize() if plain.is_quantized else plain
        # the other side has no bfloat16
        yield path, (plain.float() if plain.dtype == torch.bfloat16 else plain).contiguous()
        return
    if isinstance(tree, (bool, int, float)):
        yield path, torch.tensor(tree)
        return
    if tree is None:
        return
    if not isinstance(tree, (dict, list, tuple)):
        raise TypeError("the model answers with a " + type(tree).__name__ + ", not with tensors")
    named = zip(getattr(tree, "_fields", range(len(tree))), tree, strict=True)
    for name, branch in tree.items() if isinstance(tree, dict) else named:
        yield from leaves(branch, path + "." + str(name) if path else str(name))


def counted(name):
    """Puts names in the order in which one counts: ``args_2`` before ``args_10``."""
    parts = re.split(r"(\d+)", name)
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts if part]


class Lite:
    """The lite interpreter of this torch."""

    def __init__(self, threads):
        importlib.import_module("torch.jit.mobile")  # torch itself does not import it

    def load(self, path, engine):
        """A model with the chosen engine, and what the file says about itself."""
        if engine is not None:
            torch.backends.quantized.engine = engine
        module = torch.jit.mobile._load_for_lite_interpreter(path)
        return module, {
            "engine": torch.backends.quantized.engine,
            "version": torch.jit.mobile._get_model_bytecode_version(path),
            "operators": sorted(torch.jit.mobile._export_operator_list(module)),
        }

    def about(self):
        """What runs here."""
        return {
            "runtime": "torch " + torch.__version__,
            "torch": torch.__version__,
            "engines": torch.backends.quantized.supported_engines,
            "engine": torch.backends.quantized.engine,
        }


class ExecuTorch:
    """ExecuTorch's Python bindings. Its pool of threads is sized before a file is loaded."""

    def __init__(self, threads):
        from executorch.extension.pybindings import _portable_lib

        self.bindings = _portable_lib
        self.bindings._unsafe_reset_threadpool(threads)

    def load(self, path, engine):
        """A model; the file does not tell what is in it."""
        module = self.bindings._load_for_executorch(path)

        def call(*inputs):
            found = module.forward([x.contiguous() for x in inputs])  # it gives copies
            return found[0] if len(found) == 1 else found

        return call, {"engine": None, "version": None, "operators": []}

    def about(self):
        """What runs here."""
        from executorch import version

        return {
            "runtime": "ExecuTorch " + version.__version__.split("+")[0],
            "torch": torch.__version__,
            "engines": [],
            "engine": None,
        }


class LiteRT:
    """LiteRT's interpreter, which speaks numpy."""

    def __init__(self, threads):
        from ai_edge_litert.interpreter import Interpreter

        self.interpreter, self.threads = Interpreter, threads

    def load(self, path, engine):
        """A model; its inputs and answers in the order in which the converter counted them."""
        interpreter = self.interpreter(path, num_threads=self.threads)
        interpreter.allocate_tensors()
        self.kept = interpreter  # the runner works in its memory
        runner = interpreter.get_signature_runner()
        inputs, outputs = (
            sorted(details, key=counted)
            for details in (runner.get_input_details(), runner.get_output_details())
        )

        def call(*given):
            found = runner(**{name: x.numpy() for name, x in zip(inputs, given, strict=True)})
            answers = {name: torch.from_numpy(found[name].copy()) for name in outputs}
            if any(not name.startswith("output_") for name in outputs):
                return answers  # the network named them
            return next(iter(answers.values())) if len(answers) == 1 else list(answers.values())

        return call, {"engine": None, "version": None, "operators": []}

    def about(self):
        """What runs here."""
        import ai_edge_litert

        return {
            "runtime": "LiteRT " + ai_edge_litert.__version__,
            "torch": torch.__version__,
            "engines": [],
            "engine": None,
        }


class Server:
    """One model at a time, and the last inputs that it was given."""

    def __init__(self, runtime):
        self.runtime = runtime
        self.module = None
        self.inputs = None

    def load(self, request, content):
        """Load a file with the chosen engine; gives what the runtime says about it."""
        self.module = None
        self.module, said = self.runtime.load(request["path"], request["engine"])
        return said, b""

    def run(self, request, content):
        """Answers to inputs with the examples first, ``batch`` at a time; all at once without."""
        inputs = unpacked(request["inputs"], bytearray(content))
        if request["channels_last"]:
            inputs = [x.to(memory_format=torch.channels_last) for x in inputs]
        batch = request["batch"]
        parts = (
            [inputs] if batch is None else list(zip(*(x.split(batch) for x in inputs), strict=True))
        )
        self.inputs = [x.clone() for x in parts[0]]  # a model may write into what it is given
        with torch.no_grad():
            answers = [dict(leaves(self.module(*(x.clone() for x in part)))) for part in parts]
        found, block = [], b""
        for path in answers[0]:
            y = answers[0][path] if len(answers) == 1 else torch.cat([a[path] for a in answers])
            found.append({"path": path, "dtype": str(y.dtype)[6:], "shape": list(y.shape)})
            block += ctypes.string_at(y.data_ptr(), y.element_size() * y.numel())
        return {"outputs": found}, block

    def repeat(self, request, content):
        """The last batch again, a number of times, for the counter outside."""
        with torch.no_grad():
            for _ in range(request["times"]):
                self.module(*self.inputs)
        return {}, b""

    def about(self, request, content):
        """What runs here."""
        return self.runtime.about(), b""


def main(threads, runtime):
    """Answer until stdin ends. Whatever else prints goes to stderr."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    torch.set_num_threads(threads)
    server = Server({"lite": Lite, "executorch": ExecuTorch, "litert": LiteRT}[runtime](threads))
    while line := sys.stdin.buffer.readline():
        request = json.loads(line)
        content = sys.stdin.buffer.read(request["bytes"])
        try:
            answer, block = getattr(server, request["do"])(request, content)
        except Exception as error:
            answer, block = {"error": str(error), "kind": type(error).__name__}, b""
        answers.write(json.dumps({**answer, "bytes": len(block)}).encode() + b"\n" + block)
        answers.flush()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
