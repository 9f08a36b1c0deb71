"""The program that runs on the virtual phone. Plain Python with torch 2.1.0; no numpy, no course.

It answers requests on stdin: one line of JSON, followed by as many raw bytes as its ``bytes``
says. The answer has the same form. Pixels and scores are float32 in the machine's order, row by
row; nothing is unpickled. ``machine`` is the other side.
"""

import ctypes
import json
import os
import sys
import warnings

warnings.filterwarnings("ignore")

import torch  # noqa: E402
import torch.jit.mobile  # noqa: E402


class Server:
    """One model at a time, and the last images that it was given."""

    def __init__(self):
        self.module = None
        self.x = None

    def load(self, request, content):
        """Load a file with the chosen engine; gives what the file says about itself."""
        self.module = None
        if request["engine"] is not None:
            torch.backends.quantized.engine = request["engine"]
        path = request["path"]
        self.module = torch.jit.mobile._load_for_lite_interpreter(path)
        return {
            "engine": torch.backends.quantized.engine,
            "version": torch.jit.mobile._get_model_bytecode_version(path),
            "operators": sorted(torch.jit.mobile._export_operator_list(self.module)),
        }, b""

    def run(self, request, content):
        """Scores of many images, ``batch`` at a time."""
        x = torch.frombuffer(bytearray(content), dtype=torch.float32).reshape(request["shape"])
        if request["channels_last"]:
            x = x.to(memory_format=torch.channels_last)
        self.x = x[: request["batch"]]
        with torch.no_grad():
            y = [self.module(part) for part in x.split(request["batch"])]
        for part in y:
            if not isinstance(part, torch.Tensor) or part.dtype != torch.float32:
                raise TypeError("the model's output is not a float32 tensor")
        y = torch.cat(y).contiguous()
        return {"shape": list(y.shape)}, ctypes.string_at(y.data_ptr(), 4 * y.numel())

    def repeat(self, request, content):
        """The last batch again, a number of times, for the counter outside."""
        with torch.no_grad():
            for _ in range(request["times"]):
                self.module(self.x)
        return {}, b""

    def about(self, request, content):
        """What runs here."""
        return {
            "torch": torch.__version__,
            "engines": torch.backends.quantized.supported_engines,
            "engine": torch.backends.quantized.engine,
        }, b""


def main(threads):
    """Answer until stdin ends. Whatever else prints goes to stderr."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    torch.set_num_threads(threads)
    server = Server()
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
    main(int(sys.argv[1]))
