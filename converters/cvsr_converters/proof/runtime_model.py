"""The runtime's work around a network, in numpy, so that a file can be compared with a whole original."""

import numpy as np


def draw(inputs, facts):
    """Return a function (size, random) → random blobs like those that the runtime feeds to these inputs."""
    white = facts.range
    mean = np.reshape(facts.mean or 0.0, (1, -1, 1, 1))

    def blobs(size, random):
        shapes = [(1, one.channels, *(n * one.factor for n in size)) for one in inputs]
        return [(random.random(shape) * white - mean).astype(np.float32) for shape in shapes]

    return blobs


def finish(facts):
    """Return a function (output, blobs) → the image that the runtime makes from a network's output, before rounding.

    It adds the skip and shuffles. The image keeps the network's range and mean; nothing is clipped.
    """

    def image(output, blobs):
        if facts.tail != "subpixel":
            return output
        s = facts.scale
        n, channels, height, width = output.shape
        planes = output.reshape(n, channels // s**2, s, s, height, width)
        if facts.skip == "nearest":
            planes = planes + blobs[0][:, :, None, None]
        return planes.transpose(0, 1, 4, 2, 5, 3).reshape(n, channels // s**2, height * s, width * s)

    return image


def limited(facts):
    """Return a function that limits an image to black and white, as the runtime does."""
    mean = np.reshape(facts.mean or 0.0, (1, -1, 1, 1)).astype(np.float32)
    white = np.float32(facts.range)
    return lambda image: np.clip(image, -mean, white - mean)
