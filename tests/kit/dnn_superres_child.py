"""Run cvsr's dnn_superres, and OpenCV's own where it is, and save what came out.

    python dnn_superres_child.py pictures IMAGE.npy OUTPUT.npz MODEL.pb…
    python dnn_superres_child.py shuffles|guard FOLDER

In a child because one DnnSuperResImpl changes what the other networks of its process compute.
"""

import json
import sys
import warnings
from pathlib import Path

import cv2
import numpy as np

import cvsr
from cvsr import dnn_superres, doctor
from cvsr.inference.network import Network
from cvsr.modelfiles import superres_files
from cvsr.modelfiles.tensorflow import graphdef
from cvsr.opencv import devices, layer_registry

OUTPUTS = {4: ([2, 4], ["NCHW_output_2x", "NCHW_output_4x"])}
OUTPUTS[8] = ([2, 4, 8], [*OUTPUTS[4][1], "NCHW_output_8x"])


def contrib():
    return hasattr(getattr(cv2, "dnn_superres", None), "DnnSuperResImpl_create")


def use(module, path, algorithm, scale, image):
    """What OpenCV's own tests of the module do and check; return the pictures by kind."""
    sr = module.DnnSuperResImpl_create()
    sr.readModel(path)
    sr.setModel(algorithm, scale)
    assert (sr.getAlgorithm(), sr.getScale()) == (algorithm, scale)
    kinds = {"bgr": image, "gray": image[:, :, 1].copy(), "float": image.astype(np.float32) + np.float32(0.3)}
    if algorithm == "edsr":
        del kinds["gray"]  # which the original refuses
    made = {kind: sr.upsample(pixels) for kind, pixels in kinds.items()}
    for kind, large in made.items():
        assert large.shape == (image.shape[0] * scale, image.shape[1] * scale, *kinds[kind].shape[2:]), kind
        assert large.dtype == np.uint8
    return sr, made


def several(sr, scale, image):
    """The pictures of several outputs, with the sizes that OpenCV's own tests check."""
    scales, names = OUTPUTS[scale]
    images = sr.upsampleMultioutput(image, scales, names)
    assert [large.shape[:2] for large in images] == [(image.shape[0] * s, image.shape[1] * s) for s in scales]
    return {f"output{s}": large for s, large in zip(scales, images, strict=True)}


def by_hand(path, scale, image):
    """What the original computes for several outputs, and does not return in Python."""
    net = cv2.dnn.readNetFromTensorflow(np.frombuffer(graphdef.add_blocksize(Path(path).read_bytes()), np.uint8))
    planes = cv2.split(cv2.cvtColor(image, cv2.COLOR_BGR2YCrCb) * np.float32(1 / 255))
    net.setInput(planes[0][None, None])
    scales, names = OUTPUTS[scale]
    pictures = {}
    for s, name in zip(scales, names, strict=True):
        large = [net.forward(name)[0, 0], *(cv2.resize(plane, None, fx=s, fy=s) for plane in planes[1:])]
        eight = np.clip(np.rint(cv2.merge(large) * np.float32(255)), 0, 255).astype(np.uint8)
        pictures[f"output{s}"] = cv2.cvtColor(eight, cv2.COLOR_YCrCb2BGR)
    return pictures


def pictures(source, target, *paths):
    """Save ``whose/model/kind``: cvsr's pictures, and the original's and those of the engine where there is one."""
    image, made = np.load(source), {}
    for path in paths:
        name = Path(path).stem
        algorithm, scale = superres_files.named(name)
        sr, found = use(dnn_superres, path, algorithm, scale, image)
        if algorithm == "lapsrn" and scale in OUTPUTS:
            found |= several(sr, scale, image)
        made |= {f"cvsr/{name}/{kind}": large for kind, large in found.items()}
    for path in paths if contrib() else ():
        name = Path(path).stem
        algorithm, scale = superres_files.named(name)
        found = use(cv2.dnn_superres, path, algorithm, scale, image)[1]
        if algorithm == "lapsrn" and scale in OUTPUTS:
            found |= by_hand(path, scale, image)
        made |= {f"original/{name}/{kind}": large for kind, large in found.items()}
    for path in paths if contrib() else ():  # at the end: an original that comes after the engine can read no model
        info = cvsr.open_model(path)
        made[f"engine/{info.name}/bgr"] = cvsr.Upscaler(info, info.scale, engine="superres")(image)
    np.savez(target, **made)
    return {"models": len(paths)}


def numbers(path):
    """What cv2.dnn computes for a network as it is."""
    net = cv2.dnn.readNetFromONNX(str(path))
    channels = 3 if "crd" in path.name else 1
    net.setInput(np.random.default_rng(0).random((1, channels, 64, 64), np.float32))
    return net.forward()


def same(first, second):
    return first.shape == second.shape and bool(np.array_equal(first, second))


def shuffles(folder):
    """Whether networks with a shuffle compute the same after the engine has run, or how it is refused."""
    files = sorted(Path(folder).glob("*.onnx"))
    image = np.random.default_rng(1).integers(0, 256, (64, 64), np.uint8)
    before = [numbers(file) for file in files]
    if not contrib():
        try:
            cvsr.Upscaler(Path(folder) / "fsrcnn_x2.pb", 2, engine="superres")
        except cvsr.OpenCVError as error:
            return {"without": str(error)}
    engine = cvsr.Upscaler(Path(folder) / "fsrcnn_x2.pb", 2, engine="superres")
    engine(image)
    found = {"engine": [same(numbers(file), old) for file, old in zip(files, before, strict=True)]}
    found["again"] = same(engine(image), cvsr.Upscaler(engine.info, 2, engine="superres")(image))
    return found | {"shadowed": layer_registry.shadowed()}


def imported(folder):
    """Whether OpenCV's importer gives the right layer to cvsr's nets, before and after there is an original."""
    info, blob = cvsr.open_model(Path(folder) / "frozen" / "fsrcnn_eight_x2.pb"), np.zeros((1, 1, 9, 7), np.float32)
    blob[0, 0, 4, 3] = 1
    rewritten, loaded, later = (Network(info, devices.resolve("cpu"), importer=kind) for kind in (False, True, True))
    nets, wanted = (loaded, later, loaded), rewritten.forward(blob)
    found = []
    for net in nets:
        found.append(np.allclose(net.forward(blob), wanted, atol=1e-5))
        found.append(np.allclose(net.forward(blob[:, :, 2:7])[:, :, 4:6], wanted[:, :, 8:10], atol=1e-5))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            cv2.dnn_superres.DnnSuperResImpl_create()
    return found


def guard(folder):
    """Whether cvsr's own networks are right beside somebody else's original, and what is told of it."""
    if layer_registry.VERSION < (4, 11, 0):
        return {"shadowed": layer_registry.shadowed(), "imported": all(imported(folder))}
    model, image = Path(folder) / "eight_x2.onnx", np.random.default_rng(1).integers(0, 256, (64, 64), np.uint8)
    loaded, raw = cvsr.Upscaler(model, 2, tile=0), numbers(model)
    wanted = loaded(image)
    cv2.dnn_superres.DnnSuperResImpl_create()
    found = {
        "shadowed": layer_registry.shadowed(),
        "doctor": [problem.what for problem in doctor._process_problems()],
    }
    found["loaded before"] = same(loaded(image), wanted) and same(loaded(image[:40])[:60], wanted[:60])
    try:
        found["others suffer"] = not same(numbers(model), raw)
    except cv2.error:
        found["others suffer"] = True
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        found["loaded after"] = same(cvsr.Upscaler(model, 2, tile=0)(image), wanted)
        found["others are right again"] = same(numbers(model), raw)
        found["again"] = same(cvsr.Upscaler(model, 2, tile=0)(image), wanted)
    return found | {"warnings": [str(warning.message) for warning in told], "imported": all(imported(folder))}


if __name__ == "__main__":
    print(json.dumps({"pictures": pictures, "shuffles": shuffles, "guard": guard}[sys.argv[1]](*sys.argv[2:])))
