"""Run the same ONNX bytes in other runtimes instead of cv2.dnn.

cvsr's host code (color, range, pixel shuffle) surrounds each of them, on the whole image, so that only the execution
of the network differs. All compute in float32; by default OpenVINO would use bfloat16 if the processor supports it.
"""

import importlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np

from cvsr._cv2 import cv2
from cvsr.errors import OpenCVError, OptionError, install_hint
from cvsr.image import Image
from cvsr.inference.network import as_onnx
from cvsr.inference.plan import TilePlan
from cvsr.inference.processing import inputs
from cvsr.inference.stages import ImageSource, Watch
from cvsr.inference.tiled import Upscaled
from cvsr.modelfiles import onnx_reader, onnx_writer, protobuf
from cvsr.modelfiles.info import ModelInfo


class Peer:
    """A network in another runtime, with :meth:`cvsr.inference.network.Network.forward` for whole images."""

    exact = False

    def __init__(self, info: ModelInfo, run: Callable[[bytes], Callable[[list[Image]], Image]]) -> None:
        found = as_onnx(info)
        self.info = replace(info, tail="subpixel") if found.subpixel else info
        self._tanh = found.tanh
        self._run = run(found.onnx)
        self._pool = ThreadPoolExecutor(1)

    def forward(self, blob: Image) -> Image:
        """Return the output for ``blob``, float32 (1, C, h, w)."""
        result = self._run(inputs(blob, self.info, self.exact))
        return np.tanh(result) if self._tanh else result

    def __call__(self, image: Image) -> Image:
        """Return an image enlarged: (H, W) or BGR, uint8."""
        size = (image.shape[1], image.shape[0])
        stage = Upscaled(ImageSource(image), self, TilePlan(size, 0, 1, 1), self._pool, Watch())
        return stage.rows(0, stage.size[1])


def any_size(data: bytes) -> bytes:
    """Return an ONNX file with symbolic heights and widths: other runtimes reject images of another size."""
    graph = next(protobuf.messages(data, 7))
    parts: list[bytes] = []
    for number, value in protobuf.fields(graph):
        if number in (11, 12) and isinstance(value, memoryview):
            name, dims = onnx_reader.value_info(value)
            parts.append(
                protobuf.block(
                    number, onnx_writer.value_info(name, (dims[0], dims[1], "height" + name, "width" + name))
                )
            )
        elif number != 13:  # shapes of intermediate values
            parts.append(protobuf.field_of(number, value))
    return onnx_writer.with_graph(data, parts)


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise OptionError(f"{name} is not installed: {install_hint('bench')}") from error


def onnxruntime(data: bytes, threads: int) -> Callable[[list[Image]], Image]:
    """Return a function that runs a model in ONNX Runtime, on the CPU."""
    ort = _module("onnxruntime")
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_inputs()]
    return lambda fed: session.run(None, dict(zip(names, fed, strict=True)))[-1]


def openvino(data: bytes, threads: int) -> Callable[[list[Image]], Image]:
    """Return a function that runs a model in OpenVINO, on the CPU, in float32."""
    ov = _module("openvino")
    core = ov.Core()
    model = core.read_model(data)
    options = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    compiled: dict[tuple[int, ...], Any] = {}

    def run(fed: list[Image]) -> Image:
        shape = fed[0].shape
        if shape not in compiled:  # a fixed shape is faster
            model.reshape({i: each.shape for i, each in enumerate(fed)})
            compiled[shape] = core.compile_model(model, "CPU", options).create_infer_request()
        found = compiled[shape].infer(dict(enumerate(fed)))
        return found[max(found, key=lambda port: port.index)]

    return run


def ncnn(data: bytes, threads: int) -> Callable[[list[Image]], Image]:
    """Return a function that runs a model in ncnn, on the CPU, in float32. Raises ModelError for other operators."""
    from cvsr.bench import ncnn as reader

    module = _module("ncnn")
    net, source, target = reader.load(module, data, threads)

    def run(fed: list[Image]) -> Image:
        extractor = net.create_extractor()
        extractor.input(source, module.Mat(fed[0][0]))
        return np.array(extractor.extract(target)[1])[None]

    return run


def opencv(data: bytes, _threads: int) -> Callable[[list[Image]], Image]:
    """Return a function that runs a model in cv2.dnn as tutorials do: the whole image, with OpenCV's threads."""
    net = cv2.dnn.readNetFromONNX(np.frombuffer(data, np.uint8))

    def run(fed: list[Image]) -> Image:
        if len(fed) > 1:
            raise OptionError("a network with two inputs cannot be compared with plain cv2.dnn")
        net.setInput(fed[0])
        return net.forward()

    return run


RUNTIMES = {"onnxruntime": onnxruntime, "openvino": openvino, "ncnn": ncnn, "opencv": opencv}


def dnn_superres(info: ModelInfo) -> Callable[[Image], Image]:
    """Return OpenCV's own ``upsample`` for one of its .pb files."""
    if not hasattr(cv2, "dnn_superres"):
        raise OpenCVError("this OpenCV has no dnn_superres: pip install opencv-contrib-python-headless")
    if info.format != "pb" or not info.algorithm:
        raise OptionError(f"dnn_superres runs only its own .pb files, not {info.name}")
    original: Any = cv2.dnn_superres.DnnSuperResImpl_create()  # pyright: ignore[reportAttributeAccessIssue]
    original.readModel(str(info.path))
    original.setModel(info.algorithm, info.scale)
    return original.upsample


def contestant(kind: str, info: ModelInfo, threads: int) -> Callable[[Image], Image]:
    """Return the function that enlarges an image in a runtime; raise OptionError if it is unknown or not installed."""
    if kind == "dnn_superres":
        return dnn_superres(info)
    if kind not in RUNTIMES:
        raise OptionError(f"unknown runtime {kind!r}: use one of {', '.join([*RUNTIMES, 'dnn_superres'])}")
    # cv2.dnn needs a size in the file but accepts images of any size; the others do not
    return Peer(info, lambda data: RUNTIMES[kind](data if kind == "opencv" else any_size(data), threads))
