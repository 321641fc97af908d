"""Bad input for the drop-in for cv2.dnn_superres: each a clear error and no crash, in a process of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from kit import graphdeflite, onnxlite

import cvsr

CHILD = """
import sys
import numpy as np
from cvsr import CvsrError
from cvsr.dnn_superres import DnnSuperResImpl_create
image = np.zeros((9, 8, 3), np.uint8)
try:
    sr = DnnSuperResImpl_create()
    {lines}
except CvsrError as error:
    print(type(error).__name__, error)
"""
READ = "sr.readModel('fsrcnn_x2.pb'); "
SET = READ + "sr.setModel('fsrcnn', 2); "

CASES = {
    "no file": ("sr.readModel('missing.pb')", "ModelNotFoundError", r"missing\.pb: No such file"),
    "a folder": ("sr.readModel('.')", "ModelNotFoundError", "cannot read"),
    "no path": ("sr.readModel(None)", "OptionError", "path of a"),
    "empty path": ("sr.readModel('')", "ModelNotFoundError", "cannot read"),
    "empty file": ("sr.readModel('empty.pb')", "ModelError", r"empty\.pb is empty"),
    "wrong extension": ("sr.readModel('net.h5')", "ModelError", r"reads \.onnx and .*\.pb files"),
    "a text": ("sr.readModel('text.pb')", "ModelError", r"text\.pb"),
    "truncated .pb": ("sr.readModel('half_x2.pb'); sr.setModel('fsrcnn', 2)", "ModelError", "truncated"),
    "truncated .onnx": ("sr.readModel('half_x2.onnx'); sr.setModel('fsrcnn', 2)", "ModelError", "truncated"),
    "a .pb that ends between two nodes": (
        "sr.readModel('fewer_x2.pb'); sr.setModel('fsrcnn', 2); sr.upsample(image)", "ModelError", r"fewer_x2",
    ),
    "nothing read": ("sr.setModel('fsrcnn', 2); sr.upsample(image)", "ModelError", "readModel"),
    "wrong algorithm": (READ + "sr.setModel('espcn', 2); sr.upsample(image)", "ModelError", "is fsrcnn_x2, fsrcnn x2"),
    "unknown algorithm": (READ + "sr.setModel('srx', 2); sr.upsample(image)", "ModelError", r"setModel\('fsrcnn', 2\)"),
    "algorithm of another type": (READ + "sr.setModel(2, 'fsrcnn')", "OptionError", "'fsrcnn', and the scale"),
    "no algorithm": (READ + "sr.setModel('', 2)", "OptionError", "a name such as"),
    "wrong scale": (READ + "sr.setModel('fsrcnn', 3); sr.upsample(image)", "ModelError", "is fsrcnn_x2, fsrcnn x2"),
    "scale 0": (READ + "sr.setModel('fsrcnn', 0)", "OptionError", "whole number"),
    "half a scale": (READ + "sr.setModel('fsrcnn', 2.5)", "OptionError", "whole number"),
    "None": (SET + "sr.upsample(None)", "ImageError", "imread returns None"),
    "a list": (SET + "sr.upsample([[1, 2], [3, 4]])", "ImageError", "numpy array"),
    "empty array": (SET + "sr.upsample(np.zeros((0, 0, 3), np.uint8))", "ImageError", "empty"),
    "float64": (SET + "sr.upsample(image.astype(np.float64))", "ImageError", "float64"),
    "NaN": (SET + "sr.upsample(np.full((9, 8, 3), np.nan, np.float32))", "ImageError", "NaN"),
    "bool": (SET + "sr.upsample(image > 1)", "ImageError", "bool"),
    "2 channels": (SET + "sr.upsample(image[:, :, :2])", "ImageError", r"not \(9, 8, 2\)"),
    "1 dimension": (SET + "sr.upsample(image[0, 0])", "ImageError", "shape"),
    "5 dimensions": (SET + "sr.upsample(image[None, None])", "ImageError", r"\(1, 1, 9, 8, 3\)"),
    "several outputs of None": (SET + "sr.upsampleMultioutput(None, [2], ['NCHW_output'])", "ImageError", "imread"),
    "no such output": (SET + "sr.upsampleMultioutput(image, [2], ['x'])", "ModelError", "it has NCHW_output"),
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder, whole = tmp_path_factory.mktemp("files"), graphdeflite.FAMILIES["fsrcnn_x2"]
    shuffle = graphdeflite.node("shuffle", "DepthToSpace", ["c3"], block_size=2, data_format="NHWC")
    onnx = onnxlite.conv_chain(4, 1, 2, 0)
    files = {
        "fsrcnn_x2.pb": whole,
        "empty.pb": b"",
        "net.h5": b"\x89HDF",
        "text.pb": b"version https://example.org/spec\nsize 39\n",
        "half_x2.pb": whole[: len(whole) // 2],
        "half_x2.onnx": onnx[: len(onnx) // 2],
        "fewer_x2.pb": whole.partition(shuffle)[0],
    }
    assert len(files["fewer_x2.pb"]) < len(whole)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


@pytest.mark.parametrize("lines, error, text", CASES.values(), ids=CASES)
def test_bad_input_is_a_clear_error(folder, lines, error, text):
    paths = os.pathsep.join([str(Path(cvsr.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", CHILD.format(lines=lines)], env={**os.environ, "PYTHONPATH": paths},
        cwd=folder, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    kind, _, said = done.stdout.partition(" ")
    assert kind == error, done.stdout
    assert re.search(text, said), said
