"""Losses against values computed by hand."""

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow", reason="training needs TensorFlow")

import keras

from cvsr_converters.training import losses

pytestmark = pytest.mark.training


def log1pexp(x):
    return np.log1p(np.exp(x))


def test_pixel_losses():
    target, output = tf.constant([1.0, 2.0, 3.0]), tf.constant([1.0, 0.0, 4.0])
    assert float(losses.l1(target, output)) == pytest.approx((0 + 2 + 1) / 3)
    assert float(losses.l2(target, output)) == pytest.approx((0 + 4 + 1) / 3)
    expected = np.mean(np.sqrt(np.array([0, 4, 1]) + 1e-6))
    assert float(losses.charbonnier(target, output)) == pytest.approx(expected, rel=1e-5)


def test_total_variation():
    image = tf.constant([[1.0, 4.0], [3.0, 3.0]])[None, :, :, None]
    down, across = (2 + 1) / 2, (3 + 0) / 2
    assert float(losses.total_variation(image)) == pytest.approx(down + across)
    assert float(losses.total_variation(tf.ones((1, 5, 6, 3)))) == 0


REAL, MADE = np.array([2.0, -1.0]), np.array([0.5, -3.0])
ABOVE, BELOW = REAL - MADE.mean(), MADE - REAL.mean()
EXPECTED = {
    "vanilla": (log1pexp(-MADE).mean(), log1pexp(-REAL).mean() + log1pexp(MADE).mean()),
    "lsgan": (((MADE - 1) ** 2).mean(), ((REAL - 1) ** 2).mean() + (MADE**2).mean()),
    "relativistic": (
        log1pexp(ABOVE).mean() + log1pexp(-BELOW).mean(), log1pexp(-ABOVE).mean() + log1pexp(BELOW).mean()
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", losses.ADVERSARIAL)
def test_adversarial_losses(name):
    found = losses.ADVERSARIAL[name](tf.constant(REAL, tf.float32), tf.constant(MADE, tf.float32))
    assert [float(value) for value in found] == pytest.approx(list(EXPECTED[name]), rel=1e-5)


@pytest.mark.parametrize("name", losses.ADVERSARIAL)
def test_each_side_of_an_adversarial_loss_wants_the_opposite(name):
    """The discriminator's loss falls where real and made pictures are told apart, the generator's rises."""
    generator, discriminator = losses.ADVERSARIAL[name](tf.constant([1.0]), tf.constant([0.0]))
    fooled, confused = losses.ADVERSARIAL[name](tf.constant([0.0]), tf.constant([1.0]))
    assert discriminator < confused and generator > fooled


def test_content_is_the_distance_of_features_before_their_activation():
    keras.utils.set_random_seed(0)
    loss = losses.content("vgg19", weights=None, layer="block1_conv1")
    keras.utils.set_random_seed(0)
    first = keras.applications.VGG19(include_top=False, weights=None).get_layer("block1_conv1")
    random = np.random.default_rng(0)
    target, output = random.random((2, 1, 16, 16, 3)).astype(np.float32)
    mean = np.array([103.939, 116.779, 123.68])  # of B, G and R, in ImageNet
    fed = [255 * image[..., ::-1] - mean for image in (target, output)]
    features = [tf.nn.conv2d(tf.constant(x, tf.float32), first.kernel, 1, "SAME") for x in fed]
    expected = float(np.mean((features[0] - features[1]) ** 2))
    assert float(loss(tf.constant(target), tf.constant(output))) == pytest.approx(expected, rel=1e-4)
    assert float(loss(tf.constant(target), tf.constant(target))) == 0


def test_content_lets_the_gradient_through_and_keeps_its_weights():
    loss = losses.content("resnet50", weights=None, layer="conv2_block1_add")
    output = tf.Variable(tf.ones((1, 32, 32, 3)) * 0.5)
    with tf.GradientTape() as tape:
        value = loss(tf.zeros((1, 32, 32, 3)), output)
    (gradient,) = tape.gradient(value, [output])
    assert float(tf.reduce_max(tf.abs(gradient))) > 0


def test_content_in_16_bits_is_nearly_the_same():
    target, output = tf.random.stateless_uniform((2, 1, 32, 32, 3), seed=(1, 2))
    found = {}
    for precision in ("float32", "bfloat16"):
        keras.utils.set_random_seed(0)
        loss = losses.content("vgg16", weights=None, layer="block2_conv2", precision=precision)
        with tf.GradientTape() as tape:
            tape.watch(output)
            value = loss(target, output)
        assert value.dtype == tf.float32
        found[precision] = float(value), tape.gradient(value, output).numpy()
    (one, wanted), (other, got) = found.values()
    assert 0 < abs(one - other) < 0.02 * one
    assert 0 < np.linalg.norm(got - wanted) < 0.1 * np.linalg.norm(wanted)


def test_missing_weights_say_where_they_belong(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"vgg19 in .*vgg19_weights.*notop\.h5"):
        losses.content("vgg19")
    with pytest.raises(FileNotFoundError, match=r"nowhere\.h5"):
        losses.content("resnet50", weights=tmp_path / "nowhere.h5")
    with pytest.raises(ValueError, match="vgg19, vgg16, resnet50"):
        losses.content("alexnet")


def test_strided_losses_see_both_pictures_shifted_alike():
    rows = tf.tile(tf.reshape(tf.range(20.0), (1, 20, 1, 1)), (1, 1, 20, 3))
    found = [losses.shifted(rows, rows + 100) for _ in range(40)]
    assert all(one.shape == other.shape == (1, 12, 12, 3) for one, other in found)
    assert all((other - one == 100).numpy().all() for one, other in found)
    assert len({int(one[0, 0, 0, 0]) for one, _ in found}) > 4
    assert losses.Weighted({"l1": 1, "vanilla": 1}).strides and not losses.Weighted({"l1": 1}).strides
