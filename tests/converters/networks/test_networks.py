"""The networks of the literature: the papers' counts, the shapes, and files that load without unsafe code."""

from __future__ import annotations

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow", reason="the networks need TensorFlow")

import keras
from kit.smallnets import TINY

from cvsr_converters import networks
from cvsr_converters.networks import esrgan, layers, srgan

pytestmark = pytest.mark.training

# Name, options and thousands of parameters, from the papers, or from CARN's comparison of them. Those who count
# kernels leave out biases, normalisation and the slopes of PReLU.
FULL = {"channels": 256, "blocks": 32, "residual": 0.1}
CARN_M = {"groups": 4, "shared": True}
KERNELS = [
    ("srcnn", {}, 8.032),  # 9-1-5
    ("srcnn", {"kernels": (9, 5, 5)}, 57.184),
    ("vdsr", {}, 665),
    ("drcn", {}, 1774),
    ("drrn", {}, 297),
    ("drrn", {"units": 25}, 297),
    ("srresnet", {}, 1543),
    ("lapsrn", {}, 812.7),
    ("lapsrn", {"depth": 5, "recursions": 8, "shared": True}, 222.4),
    ("carn", {"scale": (2, 3, 4), **CARN_M}, 412),
]
EVERYTHING = [
    ("edsr", {"scale": 2}, 1370),
    ("edsr", {"scale": 4, **FULL}, 43090),
    ("mdsr", {"scale": (2, 3, 4)}, 3227),
    ("mdsr", {"scale": (2, 3, 4), "blocks": 80}, 7954),
    ("carn", {"scale": (2, 3, 4)}, 1592),
    ("rdn", {"scale": 2}, 22123),
    ("rdn", {"scale": 4}, 22271),
    ("msrn", {"scale": 2}, 5890),
    ("msrn", {"scale": 4}, 6340),
    ("esrgan", {"scale": 4}, 16698),
]
# 10^9 multiply-adds for an enlarged image of 1280 x 720. A deconvolution counts at the size of its output.
WORK = [
    ("srcnn", {"kernels": (9, 5, 5)}, 52.7),
    ("vdsr", {}, 612.6),
    ("drcn", {}, 17974.3),
    ("drrn", {"units": 25}, 6796.9),
    ("srresnet", {"scale": 4}, 127.8),
    ("lapsrn", {"scale": 4}, 149.4),
    ("carn", {"scale": 2}, 222.8),
    ("carn", {"scale": 3}, 118.8),
    ("carn", {"scale": 4}, 90.9),
    ("carn", {"scale": 2, **CARN_M}, 91.2),
    ("carn", {"scale": 4, **CARN_M}, 32.5),
]

# of those which enlarge; how reparam, ESPCN and FSRCNN do that has tests of its own
LARGER = sorted({*TINY} - {"srcnn", "vdsr", "drcn", "drrn", "reparam", "espcn", "fsrcnn"})


def tiny(name, scale=2, **options):
    """Return a small network with random weights of a size that keeps its output in the range of its input."""
    keras.utils.set_random_seed(3)
    return networks.build(name, scale=scale, **TINY[name] | options)


def image(name, height, width):
    known = networks.facts(name)
    channels = 1 if known.color == "luma" else 3
    noise = np.random.default_rng(1).random((1, height, width, channels), np.float32)
    return noise * known.range - np.array(known.mean or 0, np.float32)


def last(result):
    """Return the array of a network's output, of the largest image where there are several."""
    return np.asarray(list(result.values())[-1] if isinstance(result, dict) else result)


def thousands(model, kernels_only):
    counted = [w for w in model.trainable_weights if len(w.shape) == 4 or not kernels_only]
    return sum(int(np.prod(w.shape)) for w in counted) / 1000


@pytest.mark.parametrize(("name", "options", "wanted"), KERNELS)
def test_the_kernels_have_as_many_weights_as_the_paper_says(name, options, wanted):
    assert thousands(networks.build(name, **options), True) == pytest.approx(wanted, rel=1e-3)


@pytest.mark.parametrize(("name", "options", "wanted"), EVERYTHING)
def test_the_network_has_as_many_weights_as_the_paper_says(name, options, wanted):
    assert thousands(networks.build(name, **options), False) == pytest.approx(wanted, rel=1e-3)


def test_srdensenet_is_near_the_only_number_there_is():
    # the paper has none; CARN's comparison says 2015 without saying what the first layer of each block reads
    assert thousands(networks.build("srdensenet"), True) == pytest.approx(2015, rel=0.07)


@pytest.mark.parametrize(("name", "options", "wanted"), WORK)
def test_the_network_multiplies_as_often_as_the_paper_says(name, options, wanted):
    model = networks.build(name, **options)
    enlarged = networks.facts(name).inputs != "bicubic"
    side = 48 // options["scale"] if enlarged else 48
    tf.config.run_functions_eagerly(True)  # else grouped convolutions hide in functions
    try:
        spec = tf.TensorSpec((1, side, side, model.input.shape[-1]))
        graph = tf.function(lambda x: model(x, training=False)).get_concrete_function(spec).graph
    finally:
        tf.config.run_functions_eagerly(False)
    convolutions = [op for op in graph.get_operations() if op.type in ("Conv2D", "Conv2DBackpropInput")]
    kernels = [op.inputs[1].shape.num_elements() for op in convolutions]
    pixels = [int(np.prod(op.outputs[0].shape[1:3])) for op in convolutions]
    assert np.dot(kernels, pixels) / 48**2 * 1280 * 720 / 1e9 == pytest.approx(wanted, rel=2e-3)


@pytest.mark.parametrize("name", [*LARGER, "srcnn", "vdsr", "drcn", "drrn"])
def test_a_network_enlarges_any_size_and_keeps_near_the_range(name):
    model = tiny(name)
    factor = 1 if networks.facts(name).inputs == "bicubic" else 2
    for height, width in ((8, 12), (13, 7)):
        x = image(name, height, width)
        y = last(model(x))
        assert y.shape == (1, factor * height, factor * width, x.shape[-1])
        assert np.isfinite(y).all()
        assert 0 < np.abs(y).max() < 10 * np.abs(x).max()


@pytest.mark.parametrize("name", LARGER)
def test_a_network_enlarges_by_four(name):
    assert last(tiny(name, scale=4)(image(name, 6, 5))).shape[1:3] == (24, 20)


@pytest.mark.parametrize("name", sorted({*LARGER} - {"lapsrn"}))
def test_a_network_enlarges_by_three(name):
    assert last(tiny(name, scale=3)(image(name, 6, 5))).shape[1:3] == (18, 15)


@pytest.mark.parametrize("name", TINY)
def test_a_saved_network_loads_in_safe_mode(name, tmp_path):
    model = tiny(name)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    x = image(name, 9, 8)
    np.testing.assert_array_equal(last(loaded(x)), last(model(x)))


def test_facts_are_those_of_the_runtime():
    for name in networks.NETWORKS:
        known = networks.facts(name, scale=2)
        assert known.color in ("luma", "ycrcb", "rgb", "bgr"), name
        assert known.range in (1, 255), name
        assert known.scale == 2


def test_shuffle_is_that_of_tensorflow():
    x = np.arange(2 * 3 * 8, dtype=np.float32).reshape(1, 2, 3, 8)
    y = np.asarray(layers.PixelShuffle(2)(x))
    assert y.shape == (1, 4, 6, 2)
    for row, column, channel in np.ndindex(2, 2, 2):
        np.testing.assert_array_equal(y[0, row::2, column::2, channel], x[0, :, :, (2 * row + column) * 2 + channel])


def test_valid_srcnn_cuts_off_what_its_kernels_overlap():
    assert last(tiny("srcnn", padding="valid")(image("srcnn", 20, 17))).shape == (1, 8, 5, 1)


def test_drcn_averages_the_images_of_all_recursions():
    model = tiny("drcn", supervised=True)
    final, *images = (np.asarray(y) for y in model(image("drcn", 8, 9)))
    assert len(images) == 3
    np.testing.assert_allclose(final, np.mean(images, axis=0), atol=1e-6)  # equal weights before training


def test_one_path_of_mdsr_and_carn_is_cut_out_of_the_whole():
    for name in ("mdsr", "carn"):
        whole, x = tiny(name, scale=(2, 3, 4)), image(name, 6, 7)
        assert {key: y.shape[1] for key, y in whole(x).items()} == {"x2": 12, "x3": 18, "x4": 24}
        path = keras.Model(whole.input, whole.output["x3"])
        np.testing.assert_array_equal(path(x), whole(x)["x3"])


def test_lapsrn_begins_as_bilinear_interpolation():
    model = tiny("lapsrn", scale=4)
    for weight in model.weights:
        if weight.shape[:2] != (4, 4):
            weight.assign(np.zeros(weight.shape))
    ramp = np.tile(np.arange(12, dtype=np.float32)[:, None], (1, 12))[None, :, :, None]
    y = np.asarray(model(ramp)["x4"])[0, 8:-8, 20, 0]
    np.testing.assert_allclose(y, (np.arange(8, 40) + 0.5) / 4 - 0.5, atol=1e-6)


def test_lapsrn_refuses_what_no_doubling_gives():
    with pytest.raises(ValueError, match="2, 4 or 8, not 3"):
        networks.build("lapsrn", scale=3)


def test_discriminator_of_srgan():
    net = srgan.discriminator(size=32, channels=4, dense=8)
    assert net(np.zeros((2, 32, 32, 3), np.float32)).shape == (2, 1)
    strides = [layer.strides for layer in net.layers if isinstance(layer, keras.layers.Conv2D)]
    assert strides == [(1, 1), (2, 2)] + [(1, 1), (2, 2)] * 3
    assert [layer.filters for layer in net.layers if isinstance(layer, keras.layers.Conv2D)][-1] == 32


def test_adversarial_losses_are_relative():
    real, fake = np.float32([[3.0], [5.0]]), np.float32([[1.0], [2.0]])
    generator, critic = (float(loss) for loss in esrgan.adversarial_losses(real, fake))
    shifted = [float(loss) for loss in esrgan.adversarial_losses(real + 7, fake + 7)]
    np.testing.assert_allclose(shifted, (generator, critic), rtol=1e-5)
    assert generator > critic  # it loses as long as the real ones look more real
    np.testing.assert_allclose(esrgan.adversarial_losses(fake, real), (critic, generator), rtol=1e-5)


def test_a_convolution_in_groups_is_the_same_in_training():
    from cvsr_converters.networks.layers import conv

    layer = conv(8, groups=4, activation="relu")
    x = np.random.default_rng(0).normal(size=(2, 7, 9, 12)).astype("f4")
    layer(x)
    layer.bias.assign(np.arange(8) / 10)
    assert np.abs(layer(x, training=True).numpy() - layer(x).numpy()).max() < 1e-5


def test_batch_normalisation_is_trained_as_that_of_keras():
    x = tf.random.stateless_normal((4, 9, 8, 3), (1, 2)) * 3 + 1
    own, other = layers.BatchNormalization(), keras.layers.BatchNormalization()
    for layer in (own, other):
        layer.build(x.shape)
        layer.set_weights([np.float32([1, 2, 3]), np.float32([0, 1, -1]), np.zeros(3), np.ones(3)])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        results = [layer(x, training=True) for layer in (own, other)]
        losses = [tf.reduce_sum(result * tf.sin(result)) for result in results]
    np.testing.assert_allclose(*results, atol=1e-5)
    np.testing.assert_allclose(*(tape.gradient(loss, x) for loss in losses), atol=1e-4)
    for mine, theirs in zip(own.weights, other.weights, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=0.005, err_msg=mine.name)  # n or n - 1 in the variance
    other.set_weights(own.get_weights())
    np.testing.assert_array_equal(own(x), other(x))
