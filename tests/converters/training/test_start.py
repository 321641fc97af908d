"""Networks of training start from runs and model files, and are collapsed to the same function."""

import json

import numpy as np
import pytest
from kit import onnxlite

pytest.importorskip("tensorflow")

import cv2
import keras

from cvsr.modelfiles import zoo
from cvsr_converters import networks
from cvsr_converters.training import start, task

pytestmark = pytest.mark.training


def test_collapsed_network_is_the_same_function():
    model = networks.build("reparam", scale=3, channels=4, blocks=2, expand=8)
    for variable in model.trainable_variables:
        variable.assign(np.random.default_rng(len(variable.shape)).normal(0, 0.2, variable.shape))
    x = np.random.default_rng(0).random((1, 9, 11, 1), np.float32)
    plain = networks.collapse(model)
    assert np.abs(plain(x).numpy() - model(x).numpy()).max() < 1e-5
    assert plain.count_params() == (25 * 4 + 4) + 2 * (9 * 16 + 4) + (9 * 4 * 9 + 9)
    assert {layer.__class__.__name__ for layer in plain.layers} == {"InputLayer", "Conv2D", "ReLU"}


def left(folder, network):
    """Return the folder of a run that ended with random weights, and its model."""
    model = task.built(network)
    folder.mkdir()
    model.save_weights(folder / "average.weights.h5")
    (folder / "record.json").write_text(json.dumps({"recipe": {"network": network}}))
    return folder, model


def test_a_deeper_network_starts_as_the_shallower_one(tmp_path):
    options = {"name": "reparam", "scale": 2, "channels": 4, "blocks": 1, "expand": 8}
    run, shallow = left(tmp_path / "shallow", options)
    deep = task.built(options | {"blocks": 3})
    start.begin(deep, {"run": "shallow"}, tmp_path)
    x = np.random.default_rng(0).random((1, 9, 11, 1), np.float32)
    assert np.abs(deep(x).numpy() - shallow(x).numpy()).max() < 1e-6
    other = task.built(options | {"scale": 3})
    start.from_run(other, run, ["tail"])
    assert (other.get_layer("head").get_weights()[0] == shallow.get_layer("head").get_weights()[0]).all()


def test_kernels_with_a_mean_are_no_start_for_those_without(tmp_path):
    options = {"name": "reparam", "scale": 2, "channels": 4, "blocks": 1, "expand": 8}
    run, before = left(tmp_path / "before", options | {"zero_mean": False})
    model = task.built(options)
    with pytest.raises(ValueError, match='name "head" in'):
        start.from_run(model, run)
    start.from_run(model, run, ["head"])
    assert (model.get_layer("body0").get_weights()[0] == before.get_layer("body0").get_weights()[0]).all()
    (tmp_path / "a.onnx").write_bytes(onnxlite.conv_chain(4, 1, 2, 0))
    with pytest.raises(ValueError, match="zero_mean = false"):
        start.from_file(networks.build("reparam", channels=4, blocks=2, expand=40), tmp_path / "a.onnx")


def test_first_kernels_without_a_mean_answer_to_every_photo():
    photo = np.float32(pytest.importorskip("skimage.data").camera())[None, ::4, ::4, None] / 255
    rare = {}
    for zero_mean in (True, False):
        keras.utils.set_random_seed(0)
        head = networks.build("reparam", channels=64, blocks=1, zero_mean=zero_mean).get_layer("head")
        answers = head(photo)[:, 2:-2, 2:-2].numpy()  # beyond the edge are zeros
        rare[zero_mean] = int(((answers > 0).mean((0, 1, 2)) < 0.01).sum())
        assert (np.abs(head.kernel().numpy().mean((0, 1))).max() < 1e-6) == zero_mean
    assert rare[True] == 0 < 5 < rare[False]


def test_a_network_whose_layers_have_no_names_of_their_own_starts_in_their_order(tmp_path):
    options = {"scale": 4, "channels": 4, "blocks": 1, "ends": 3}
    run, before = left(tmp_path / "first", {"name": "srresnet"} | options)
    after = task.built({"name": "srgan"} | options)
    start.from_run(after, run)
    x = np.random.default_rng(0).random((1, 9, 11, 3), np.float32)
    assert np.abs(after(x).numpy() - before(x).numpy()).max() < 1e-6
    with pytest.raises(ValueError, match="zip"):
        start.from_run(task.built({"name": "srgan"} | options | {"blocks": 2}), run)


def test_a_run_can_start_from_a_model_file(tmp_path):
    from onnx import reference

    (tmp_path / "a.onnx").write_bytes(onnxlite.conv_chain(4, 1, 2, 0))
    model = networks.build("reparam", scale=2, channels=4, blocks=2, expand=40, zero_mean=False)
    start.begin(model, {"model": tmp_path / "a.onnx"}, tmp_path)
    x = np.random.default_rng(0).random((1, 1, 64, 64), np.float32)
    expected = reference.ReferenceEvaluator(str(tmp_path / "a.onnx")).run(None, {"input": x})[0]
    assert np.abs(model(x.transpose(0, 2, 3, 1)).numpy().transpose(0, 3, 1, 2) - expected).max() < 1e-5
    with pytest.raises(ValueError, match="expands to 2"):
        start.begin(
            networks.build("reparam", scale=2, channels=4, blocks=1, expand=2, zero_mean=False),
            {"model": tmp_path / "a.onnx"},
            "",
        )


@pytest.mark.parametrize(
    ("name", "zero_mean", "channels", "blocks"), [("cvsr-small_x2", False, 16, 7), ("cvsr-medium_x2", True, 32, 11)]
)
def test_a_wider_and_deeper_network_starts_as_a_model_that_comes_with_cvsr(tmp_path, name, zero_mean, channels, blocks):
    model = networks.build("reparam", channels=channels + 4, blocks=blocks, expand=40, zero_mean=zero_mean)
    start.begin(model, {"model": name}, tmp_path)
    (known,) = zoo.find(name).values()
    net = cv2.dnn.readNetFromONNX(str(known.path))
    x = np.random.default_rng(0).random((1, 24, 20, 1), np.float32)
    net.setInput(x.transpose(0, 3, 1, 2))
    # kernels rounded to 8 bits have a mean again, of a ten-thousandth, which is taken from them
    limit = 0.01 if zero_mean else 1e-4
    assert np.abs(model(x).numpy().transpose(0, 3, 1, 2) - net.forward()).max() < limit
    assert np.abs(model.get_layer("body0").kernel()[..., channels:]).max() > 0.01, (
        "new channels have something to learn from"
    )
