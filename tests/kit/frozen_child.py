"""Run frozen graphs rewritten and by OpenCV's importer, upscale without the importer, and compare with dnn_superres.

Run as ``python frozen_child.py IMAGE.npy MODEL.pb…`` with cvsr on the path; exits with 1 and says what differs too
much. In a child because one DnnSuperResImpl changes what the other networks of its process compute.
"""

import re
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np

import cvsr
from cvsr.inference import processing
from cvsr.inference.network import Network
from cvsr.opencv import devices

SIZES = (24, 32), (17, 41), (24, 32)


def picture(network, blob):
    """The network's whole image for a blob, with the shuffle that it leaves to the host."""
    output, info = network.forward(blob), network.info
    if info.tail == "image":
        return output
    return np.stack([processing.shuffle(list(group), info.scale) for group in np.split(output[0], info.channels)])[None]


def distance(path):
    """The largest difference between OpenCV's importer and the rewritten graph, in parts of the range."""
    info, rng, worst = cvsr.open_model(path), np.random.default_rng(0), 0.0
    theirs, ours = (Network(info, devices.resolve("cpu"), importer=importer) for importer in (True, False))
    for size in SIZES:
        blob = rng.random((1, info.channels, *size), np.float32) * np.float32(info.range)
        wanted, got = picture(theirs, blob), picture(ours, blob)
        if wanted.shape != got.shape or wanted.std() < 0.01 * info.range:
            return np.inf
        worst = max(worst, float(np.abs(wanted - got).max()) / info.range)
    return worst


def original(image, path):
    """The picture of OpenCV's own module."""
    module = cv2.dnn_superres.DnnSuperResImpl_create()
    module.readModel(path)
    module.setModel(re.match("[a-z]+", Path(path).name.lower())[0], cvsr.open_model(path).scale)
    return module.upsample(image)


def steps(first, second):
    return int(np.abs(first.astype(int) - second).max())


def main(image, paths):
    """Return what is wrong."""
    wrong = {f"{path}: importer": d for path in paths if (d := distance(path)) > 1e-4}
    with tempfile.TemporaryDirectory() as folder:
        tempfile.tempdir = folder
        made = {path: cvsr.upscale(image, cvsr.open_model(path).scale, model=path) for path in paths}
        wrong |= {f"{file}: left behind": 1 for file in Path(folder).iterdir()}
    tempfile.tempdir = None
    del cv2.dnn.readNetFromTensorflow
    for path in paths:
        again = cvsr.upscale(image, cvsr.open_model(path).scale, model=path)
        wrong |= {f"{path}: without importer": d for d in [steps(again, made[path])] if d}
    if hasattr(getattr(cv2, "dnn_superres", None), "DnnSuperResImpl_create"):
        wrong |= {f"{path}: dnn_superres": d for path in paths if (d := steps(original(image, path), made[path])) > 1}
    return wrong


if __name__ == "__main__":
    found = main(np.load(sys.argv[1]), sys.argv[2:])
    print(cv2.__version__, len(sys.argv[2:]), found)
    sys.exit(bool(found))
