"""Every public model converts with one command, proven in every OpenCV; the pictures of the .pb files stay the same."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="the converter needs TensorFlow")
cv2 = pytest.importorskip("cv2")

from kit import tables

import cvsr
from cvsr_converters import convert
from cvsr_converters.proof import environments

pytestmark = [pytest.mark.conformance, pytest.mark.training]
MODELS = tables.files()


@pytest.fixture(scope="module")
def others():
    """The interpreters with the other versions of OpenCV."""
    named = os.environ.get("CVSR_VERIFY_PYTHONS")
    return named.split(os.pathsep) if named else [environments.python(version) for version in tables.OPENCV]


@pytest.mark.parametrize(("path", "options"), MODELS, ids=[path for path, _ in MODELS])
def test_a_public_model(path, options, data_root, others, photo, tmp_path):
    source, out = data_root / "models" / path, tmp_path / "model.onnx"
    report = convert(source, out, opencv=others, **options)
    assert report.ok, "\n" + report.text()
    runtimes = {(row.runtime.split()[-1], row.engine) for row in report.proof.rows if "OpenCV" in row.runtime}
    wanted = {("4.8.1", "classic"), ("4.14.0", "classic"), ("5.0.0", "classic"), ("5.0.0", "new")}
    assert wanted <= runtimes, "one of the versions was not tried"
    image = photo("astronaut")[40:131, 180:307]
    scale = cvsr.open_model(out).scale
    result = cvsr.upscale(image, scale, model=out)
    small = cv2.resize(result, image.shape[1::-1], interpolation=cv2.INTER_AREA)
    assert np.abs(small.astype(int) - image).mean() < 12, "another picture, or its colors are wrong"
    if source.suffix == ".pb":
        assert np.abs(result.astype(int) - by_dnn_superres(source, image, scale)).max() <= 1


SUPERRES = """
import sys, cv2, numpy
path, family, scale = sys.argv[1:4]
net = cv2.dnn_superres.DnnSuperResImpl_create()
net.readModel(path)
net.setModel(family, int(scale))
numpy.save("large.npy", net.upsample(numpy.load("image.npy")))
"""


def by_dnn_superres(path, image, scale):
    """Return what OpenCV's own module makes of an image, in a child process: it harms the one that it runs in."""
    if not hasattr(getattr(cv2, "dnn_superres", None), "DnnSuperResImpl_create"):
        pytest.skip("this OpenCV has no dnn_superres: opencv-contrib-python has")
    import tempfile

    family = path.stem.partition("_")[0].partition("-")[0].lower()
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder, "image.npy"), image)
        command = [sys.executable, "-c", SUPERRES, str(path), family, str(scale)]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
        return np.load(Path(folder, "large.npy"))
