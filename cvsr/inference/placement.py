"""Choose the best device whose results for a model agree with the CPU's."""

import math
import warnings

import numpy as np

from cvsr.errors import DeviceError, ModelError
from cvsr.image import Image
from cvsr.inference.network import Network
from cvsr.modelfiles.info import ModelInfo
from cvsr.opencv import devices, ran_on


def network(info: ModelInfo, requested: str, exact: bool) -> Network:
    """Return the model on the best candidate device whose results agree with the CPU's."""
    side = math.lcm(24, info.multiple)
    sample = np.random.default_rng(0).random((1, info.channels, side, side), np.float32) * np.float32(info.range)
    for device in devices.candidates(requested):
        chosen = Network(info, device, exact=exact)
        try:
            output = chosen.forward(sample, requested)
            if device.name == "cpu":
                return _plausible(chosen, output, sample)
            reference = Network(info, devices.resolve("cpu"), exact=exact).forward(sample)
            wrong = ran_on.agrees(output, reference, half=device.half)
            if wrong:
                raise DeviceError(f"{device.name} gives wrong results for {info.name} ({wrong}). Use device='cpu'.")
            return _plausible(chosen, output, sample)
        except DeviceError as error:
            if requested != "auto":
                raise
            warnings.warn(f"device='auto' skips {device.name}: {error}", RuntimeWarning, stacklevel=4)
    raise DeviceError("OpenCV offers no device, not even the CPU")


def _plausible(chosen: Network, output: Image, sample: Image) -> Network:
    """Return the network if its output has the shape that its facts require; raise ModelError otherwise."""
    info, (height, width) = chosen.info, sample.shape[2:]
    s = info.scale
    expected = (1, info.channels * s * s, height, width)
    if info.tail == "image":
        expected = (1, info.channels, height * s, width * s)
    if output.shape != expected:
        raise ModelError(
            f"{info.name} gave an output of shape {output.shape} for {width}x{height} pixels, but scale={s}, "
            f"color={info.color!r} and tail={info.tail!r} require {expected}: pass the right ones to cvsr.open_model"
        )
    return chosen
