"""Where the small networks are registered, by name, and how their weights are drawn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np

from cvsr_converters.original import Input

SIZES = (40, 56), (64, 48), (37, 51)  # of :mod:`cvsr_converters.proof.verify`
BAKED = "the size of the image is baked into this network"
EVEN = (40, 56), (64, 48), (24, 32)  # for networks that halve


@dataclass(frozen=True)
class Net:
    """How to make a network, and what the converter needs to know of it.

    ``output``: which of its outputs is the image. ``saved``: it goes through a ``.keras`` file. ``refused``: a regular
    expression that the refusal must match, or "" where it must be converted.
    """

    make: Callable
    channels: int | None = None
    inputs: tuple[Input, ...] = ()
    output: int = 0
    sizes: tuple = SIZES
    saved: bool = False
    refused: str = ""


NETS: dict[str, Net] = {}


def net(name, **options):
    """Register the function below as a network called ``name``."""

    def register(make):
        NETS[name] = Net(make, **options)
        return make

    return register


def body(name, channels=1, **options):
    """Register the function below, from an image to an image, as a functional Keras model."""

    def register(function):
        def make():
            x = keras.Input((None, None, channels), name="image")
            return keras.Model(x, function(x))

        NETS[name] = Net(make, **options)
        return function

    return register


def fill(model, seed=0):
    """Give every variable of a model a random value that keeps numbers near 1; return the model."""
    random = np.random.default_rng(seed)
    for variable in getattr(model, "weights", None) or getattr(model, "variables", ()):
        kind, shape = getattr(variable, "path", variable.name).split("/")[-1].split(":")[0], tuple(variable.shape)
        if "variance" in kind:
            value = random.uniform(0.5, 2, shape)
        elif kind in ("gamma", "weight"):
            value = random.uniform(0.7, 1.4, shape)
        elif kind == "alpha":
            value = random.uniform(0.05, 0.5, shape)
        elif len(shape) < 2:
            value = random.normal(0, 0.2, shape)
        else:
            value = random.normal(0, 1, shape) * (1.5 / np.prod(shape[:-1])) ** 0.5
        variable.assign(value.astype(np.float32))
    return model
