"""A network in an ONNX model: its inputs and outputs, how to run it, and its graph at any size."""

from fractions import Fraction

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from cvsr.errors import ModelError
from cvsr_converters.facts import Facts
from cvsr_converters.original import Input
from cvsr_converters.sources.onnx import types
from cvsr_converters.sources.onnx.graph import at_size
from cvsr_converters.sources.onnx.layout import channels_of
from cvsr_converters.sources.onnx.run import evaluate, images_of, open_session, resized

SIZES = (48, 64), (80, 56)  # multiples of 8; both sides differ, so an axis that stays the same is not spatial
NUMBERS = frozenset({TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.UINT8}) | types.HALF


class Network:
    """The network in an ONNX model that :func:`.file.load` returned.

    ``inputs`` and ``outputs`` are those of an Original, ``facts`` the scale, color and range as far as the graph shows
    them, and ``notes`` the differences from the file. Raises ModelError.
    """

    def __init__(self, stored, options):
        _feed(stored.graph, options.feeds)
        _choose(stored.graph, options.outputs)
        self.model, self.notes = types.without_bytes(types.as_float(stored, types.HALF))
        if types.has(stored, types.HALF):
            self.notes.append("it contains 16-bit floats: the converted file computes in 32 bits")
        self.outputs = [info.name for info in stored.graph.output]
        images = images_of(stored.graph)
        self._bytes = images[0].type.tensor_type.elem_type == TensorProto.UINT8
        found = [channels_of(self.model.graph, info) for info in images]
        self.last = {info.name for info, (_, last) in zip(images, found, strict=True) if last}
        factors = _factors(images, self.last, options.scale)
        self.inputs = [
            Input(info.name, channels, factor)
            for info, (channels, _), factor in zip(images, found, factors, strict=True)
        ]
        self._session = open_session(resized(self.model, self._free()))
        self.facts = self._look()
        if self.notes:
            self._compare(stored)

    def run(self, *blobs):
        """Return the outputs for these blobs, all float32 (1, C, H, W), as onnxruntime computes them."""
        fed = [
            blob.transpose(types.TO_LAST) if one.name in self.last else blob
            for blob, one in zip(blobs, self.inputs, strict=True)
        ]
        results = zip(self.outputs, evaluate(self._session, fed), strict=True)
        arrays = (array.transpose(types.TO_FIRST) if name in self.last else array for name, array in results)
        return [np.ascontiguousarray(array, np.float32) for array in arrays]

    def graph(self, size):
        """Return the ONNX graph for images of ``size``."""
        return at_size(self.model, self._dims(size), last=self.last)

    def _dims(self, size):
        """Return the shapes of all inputs, in the model's own order, for images of ``size``."""
        return [_shape(one, [n * one.factor for n in size], one.name in self.last) for one in self.inputs]

    def _free(self):
        return [_shape(one, [f"height{i}", f"width{i}"], one.name in self.last) for i, one in enumerate(self.inputs)]

    def _look(self):
        """Run it at two sizes to find the channels-last outputs; return the facts that the shapes show."""
        shapes = [[array.shape for array in evaluate(self._session, self._noise(size))] for size in SIZES]
        for name, first, second in zip(self.outputs, *shapes, strict=True):
            differs = [a != b for a, b in zip(first, second, strict=False)]
            if len(first) != 4 or not any(differs):
                raise ModelError(
                    f"the output {name!r} has the shape {first} for an image of {SIZES[0]} and {second} for one of "
                    f"{SIZES[1]}: it is not an image, or its size is fixed; choose another output, or export the "
                    "model with dynamic axes"
                )
            if differs[1:] == [True, True, False]:
                self.last.add(name)
        last = self.outputs[0] in self.last
        return self._facts([shapes[0][0][axis] for axis in (types.TO_FIRST if last else range(4))])

    def _facts(self, shape):
        """Return the certain scale, color and range, from the ``shape`` of the output for the first of SIZES."""
        channels, scales = self.inputs[0].channels, {Fraction(n, m) for n, m in zip(shape[2:], SIZES[0], strict=True)}
        scale = scales.pop()
        whole = not scales and scale.denominator == 1 and shape[1] == channels
        return Facts(
            scale=int(scale) if whole else None,
            color="luma" if channels == 1 else None,
            range=255.0 if self._bytes else None,
        )

    def _noise(self, size):
        random = np.random.default_rng(0)
        return [
            random.integers(0, 256, shape).astype(np.float32) / (1 if self._bytes else 255)
            for shape in self._dims(size)
        ]

    def _compare(self, stored):
        """Raise ModelError unless the network in 32-bit floats gives the same results as the stored one."""
        session = open_session(resized(stored, self._free()))
        noise = self._noise(SIZES[0])
        pairs = zip(evaluate(session, noise), evaluate(self._session, noise), strict=True)
        for name, (wanted, got) in zip(self.outputs, pairs, strict=True):
            slack = 1.01 if wanted.dtype == np.uint8 else 0.02 * max(np.ptp(wanted.astype(np.float32)), 1e-3)
            fits = (got >= 0) & (got <= 255) if wanted.dtype == np.uint8 else np.isfinite(wanted)
            if np.abs(wanted.astype(np.float32) - got)[fits].max(initial=0) > slack:
                raise ModelError(f"the output {name!r} changes in 32-bit floats; export the model in 32-bit floats")


def _shape(one, sides, last):
    return (1, *sides, one.channels) if last else (1, one.channels, *sides)


def _feed(graph, feeds):
    """Turn the inputs that the user gives values for into constants; refuse others that are not images."""
    for info in images_of(graph):
        kind, rank = info.type.tensor_type.elem_type, len(info.type.tensor_type.shape.dim)
        if info.name in feeds:
            array = np.asarray(feeds[info.name], helper.tensor_dtype_to_np_dtype(kind))
            graph.initializer.append(numpy_helper.from_array(array, info.name))
            graph.input.remove(info)
        elif kind not in NUMBERS or rank != 4:
            dims = [d.dim_value or d.dim_param or "?" for d in info.type.tensor_type.shape.dim]
            raise ModelError(f"the input {info.name!r} of shape {dims} is not an image: pass its value with --feed")
    if not images_of(graph):
        raise ModelError("the model has no input for an image")


def _choose(graph, names):
    """Keep the outputs that the user has chosen, in that order."""
    outputs = {info.name: info for info in graph.output}
    if unknown := [name for name in names if name not in outputs]:
        raise ModelError(f"there is no output {unknown[0]!r}; available: {', '.join(outputs)}")
    if names:
        chosen = [type(outputs[name]).FromString(outputs[name].SerializeToString()) for name in names]
        del graph.output[:]
        graph.output.extend(chosen)


def _factors(images, last, scale):
    """Return the size of each input relative to the first, from the sizes in the file or else the axes' names."""
    sides = [info.type.tensor_type.shape.dim[1 if info.name in last else 2] for info in images]
    factors = []
    for side in sides:
        if side.dim_value and sides[0].dim_value:
            factor = Fraction(side.dim_value, sides[0].dim_value)
            factors.append(int(factor) if factor.denominator == 1 else 1)
        else:
            factors.append(1 if side.dim_param == sides[0].dim_param else scale or 1)
    return factors
