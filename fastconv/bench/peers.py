# SPDX-License-Identifier: BSD-3-Clause
"""A layer as other frameworks run it. Each peer has, for a case, one run for each way it can do it.

What is timed is what a program pays for an array it has: tensors share NumPy's memory, gradients are those of the
layer alone, nothing is recorded for a later backward. Channels-last tensors are made before the clock starts.
"""

import importlib
import importlib.metadata
import importlib.util
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from fastconv.bench.ours import NEEDS, Array, Arrays, BenchPass
from fastconv.bench.shapes import ConvRow, PoolRow

Runs = dict[str, Callable[[], Any]]

TORCH, NNPACK, ONNXRUNTIME = "torch", "torch nnpack", "onnxruntime"
CHANNELS_LAST = "torch channels-last"
#: The packages that a peer needs.
PACKAGES = {TORCH: ("torch",), ONNXRUNTIME: ("onnxruntime", "onnx")}


class Peer(Protocol):
    def convolution(self, row: ConvRow, pass_: BenchPass, arrays: Arrays, threads: int) -> Runs: ...
    def pool(self, row: PoolRow, pass_: BenchPass, x: Array, grad: Array, threads: int) -> Runs: ...


def missing(name: str) -> list[str]:
    """The packages of a peer that are not installed."""
    return [package for package in PACKAGES[name] if importlib.util.find_spec(package) is None]


def load(names: Sequence[str]) -> list[Peer]:
    makers: dict[str, Callable[[], Peer]] = {TORCH: Torch, ONNXRUNTIME: OnnxRuntime}
    return [makers[name]() for name in names]


def versions(names: Sequence[str]) -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in names}


class Torch:
    """NCHW and channels-last tensors, and NNPACK's convolution, which PyTorch has but does not choose by itself."""

    def __init__(self) -> None:
        self.torch: Any = importlib.import_module("torch")

    def convolution(self, row: ConvRow, pass_: BenchPass, arrays: Arrays, threads: int) -> Runs:
        self.torch.set_num_threads(threads)
        plain = [self.torch.from_numpy(a) for a in arrays]
        last = [t.contiguous(memory_format=self.torch.channels_last) for t in plain]
        make = self._forward if pass_ == "forward" else self._backward
        runs = {TORCH: make(row, pass_, *plain), CHANNELS_LAST: make(row, pass_, *last)}
        return {**runs, **self._nnpack(row, plain)} if pass_ == "forward" else runs

    def _forward(self, row: ConvRow, pass_: BenchPass, x: Any, weight: Any, grad: Any) -> Callable[[], Any]:
        convolve = self.torch.nn.functional.conv2d
        return self._quiet(lambda: convolve(x, weight, None, row.stride, row.padding, 1, row.groups))

    def _backward(self, row: ConvRow, pass_: BenchPass, x: Any, weight: Any, grad: Any) -> Callable[[], Any]:
        run, pairs = self.torch.ops.aten.convolution_backward, ([row.stride] * 2, [row.padding] * 2)
        rest = ([1, 1], False, [0, 0], row.groups, list(NEEDS[pass_]))
        return self._quiet(lambda: run(grad, x, weight, [row.filters], *pairs, *rest))

    def _nnpack(self, row: ConvRow, tensors: Sequence[Any]) -> Runs:
        """Nothing where it is not built in, not for this processor, or not for this problem."""
        x, weight, _ = tensors
        run = getattr(self.torch, "_nnpack_spatial_convolution", None)
        available = getattr(self.torch.backends.nnpack, "is_available", lambda: False)
        if run is None or not available() or row.groups > 1 or row.stride > 1:
            return {}
        call = self._quiet(lambda: run(x, weight, None, [row.padding] * 2, [row.stride] * 2))
        try:
            call()
        except RuntimeError:
            return {}
        return {NNPACK: call}

    def pool(self, row: PoolRow, pass_: BenchPass, x: Array, grad: Array, threads: int) -> Runs:
        self.torch.set_num_threads(threads)
        plain = [self.torch.from_numpy(a) for a in (x, grad)]
        last = [t.contiguous(memory_format=self.torch.channels_last) for t in plain]
        return {TORCH: self._pool(row, pass_, *plain), CHANNELS_LAST: self._pool(row, pass_, *last)}

    def _pool(self, row: PoolRow, pass_: BenchPass, x: Any, grad: Any) -> Callable[[], Any]:
        aten, functional = self.torch.ops.aten, self.torch.nn.functional
        window = ([row.kernel] * 2, [row.stride] * 2, [row.padding] * 2)
        if pass_ == "forward":
            pool = functional.max_pool2d if row.kind == "max" else functional.avg_pool2d
            return self._quiet(lambda: pool(x, *window))
        if row.kind == "avg":
            return self._quiet(lambda: aten.avg_pool2d_backward(grad, x, *window, False, True, None))
        _, indices = aten.max_pool2d_with_indices(x, *window)
        backward = aten.max_pool2d_with_indices_backward
        return self._quiet(lambda: backward(grad, x, *window, [1, 1], False, indices))

    def _quiet(self, call: Callable[[], Any]) -> Callable[[], Any]:
        """Without a tape: under inference_mode even its bookkeeping is gone."""
        quiet: Callable[[], Any] = self.torch.inference_mode()(call)
        return quiet


class OnnxRuntime:
    """A model of one node, so forward only; the session has prepared the weights."""

    def __init__(self) -> None:
        self.runtime: Any = importlib.import_module("onnxruntime")
        self.onnx: Any = importlib.import_module("onnx")

    def convolution(self, row: ConvRow, pass_: BenchPass, arrays: Arrays, threads: int) -> Runs:
        if pass_ != "forward":
            return {}
        weight = self.onnx.numpy_helper.from_array(arrays.weight, "w")
        attributes = {"strides": [row.stride] * 2, "pads": [row.padding] * 4, "group": row.groups}
        node = self.onnx.helper.make_node("Conv", ["x", "w"], ["y"], kernel_shape=list(row.kernel), **attributes)
        return self._run(node, [weight], arrays.x, threads)

    def pool(self, row: PoolRow, pass_: BenchPass, x: Array, grad: Array, threads: int) -> Runs:
        if pass_ != "forward":
            return {}
        attributes: dict[str, Any] = {"strides": [row.stride] * 2, "pads": [row.padding] * 4}
        attributes["kernel_shape"] = [row.kernel] * 2
        if row.kind == "avg":
            attributes["count_include_pad"] = 1
        operator = "MaxPool" if row.kind == "max" else "AveragePool"
        return self._run(self.onnx.helper.make_node(operator, ["x"], ["y"], **attributes), [], x, threads)

    def _run(self, node: Any, weights: list[Any], x: Array, threads: int) -> Runs:
        helper, kind = self.onnx.helper, self.onnx.TensorProto.FLOAT
        shapes = {"x": x.shape, "y": [None] * 4}
        x_info, y_info = (helper.make_tensor_value_info(name, kind, shape) for name, shape in shapes.items())
        graph = helper.make_graph([node], "layer", [x_info], [y_info], initializer=weights)
        # opset 13 and IR 8: old enough for every version of the runtime in use
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
        options = self.runtime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        session = self.runtime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
        return {ONNXRUNTIME: lambda: session.run(None, {"x": x})}
