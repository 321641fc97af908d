"""Put a model on the best device whose results can be trusted."""

from __future__ import annotations

import math
import warnings

import numpy as np

from cvsr.errors import DeviceError, ModelError
from cvsr.image import Image
from cvsr.inference.network import Network
from cvsr.modelfiles.info import ModelInfo
from cvsr.opencv import devices, ran_on


def network(info: ModelInfo, requested: str, exact: bool) -> Network:
    """Return the model on the best candidate device whose results are the CPU's."""
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
        except DeviceError as error:
            output, wrong = None, str(error)
        if wrong is None and output is not None:
            return _plausible(chosen, output, sample)
        if requested != "auto":
            raise DeviceError(f"{device.name} is no use for {info.name}: {wrong}. Use device='cpu'.")
        warnings.warn(f"{device.name} is left out: {wrong}", RuntimeWarning, stacklevel=4)
    raise DeviceError("OpenCV offers no device, not even the CPU")


def _plausible(chosen: Network, output: Image, sample: Image) -> Network:
    """Return the network where its output has the shape that its facts promise; raise ModelError otherwise."""
    info, (height, width) = chosen.info, sample.shape[2:]
    s = info.scale
    expected = (1, info.channels * s * s, height, width)
    if info.tail == "image":
        expected = (1, info.channels, height * s, width * s)
    if output.shape != expected:
        raise ModelError(
            f"{info.name} gave an output of shape {output.shape} for {width}x{height} pixels, where scale={s}, "
            f"color={info.color!r} and tail={info.tail!r} need {expected}: pass the right ones to cvsr.open_model"
        )
    return chosen
