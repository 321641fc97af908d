"""Load a deep network in segments if that is faster."""

from typing import Any

import numpy as np

from cvsr._cv2 import cv2
from cvsr.errors import ModelError
from cvsr.image import Image
from cvsr.inference import segments
from cvsr.inference.network import Network, as_onnx, file_of
from cvsr.inference.plan import DEEP
from cvsr.inference.segments import Segment
from cvsr.opencv import devices, engines


class SegmentNets:
    """The segments of a :class:`cvsr.inference.network.Network`, with one set of nets for each thread at work."""

    def __init__(self, network: Network, found: tuple[Segment, ...], tanh: bool) -> None:
        self.network, self.info, self.exact = network, network.info, network.exact
        self.segments, self._tanh = found, tanh
        self._idle: list[dict[int, Any]] = []

    def forward(self, number: int, fed: dict[str, Image]) -> list[Image]:
        """Return the outputs of a segment for its inputs, each float32 (1, C, h, w). Raises ModelError."""
        segment = self.segments[number]
        try:
            nets = self._idle.pop()
        except IndexError:  # all are in use by other threads
            nets = {}
        try:
            with devices.prepare(self.network.device):
                if number not in nets:
                    nets[number] = self._loaded(segment)
                for name in segment.inputs:
                    nets[number].setInput(fed[name], name)
                results: list[Image] = list(nets[number].forward(list(segment.outputs)))
        except cv2.error as error:
            said, which = " ".join(str(error).split()), f"segment {number + 1} of {len(self.segments)}"
            raise ModelError(f"OpenCV {cv2.__version__} cannot run {which} of {self.info.name}: {said}") from error
        finally:
            self._idle.append(nets)
        if self._tanh and number == len(self.segments) - 1:
            np.tanh(results[0], out=results[0])
        return results

    def _loaded(self, segment: Segment) -> Any:
        engine = engines.argument(self.network.device.name, self.exact, self.info.ops)
        if engine:  # from memory, 5.0 ignores the requested engine
            with file_of(segment.onnx, ".onnx") as name:
                net = cv2.dnn.readNetFromONNX(name, **engine)
        else:
            net = cv2.dnn.readNetFromONNX(np.frombuffer(segment.onnx, np.uint8))
        return self.network.configured(net)


def in_segments(network: Network) -> SegmentNets | None:
    """Return a network in segments, None if it is not deep, cannot be cut, or does not run on the CPU."""
    info = network.info
    if network.device.name != "cpu" or (info.radius or 0) < DEEP or info.multiple > 1 or "," in info.inputs:
        return None
    try:
        whole = as_onnx(info)
    except ModelError:
        return None
    found = segments.cut(whole.onnx, info.radius or 0, info.output if info.format == "pb" else "")
    if not found or not all(_is_shuffle(network, segment) for segment in found if segment.shuffle):
        return None
    return SegmentNets(network, tuple(found), whole.tanh)


def _is_shuffle(network: Network, segment: Segment) -> bool:
    """Whether a segment is the pixel shuffle that cvsr computes: planes in the order (channel, row, column)."""
    scale = segment.shuffle
    maps = np.arange(segment.channels[0] * scale**2 * 6, dtype=np.float32).reshape(1, -1, 2, 3)
    wanted = maps.reshape(-1, scale, scale, 2, 3).transpose(0, 3, 1, 4, 2).reshape(1, -1, 2 * scale, 3 * scale)
    try:
        made = SegmentNets(network, (segment,), False).forward(0, {segment.inputs[0]: maps})[0]
    except ModelError:
        return False
    return np.array_equal(made, wanted)
