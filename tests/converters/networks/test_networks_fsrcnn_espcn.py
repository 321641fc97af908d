"""ESPCN and FSRCNN: the papers' counts, variants, and pictures from weights trained by others."""

from __future__ import annotations

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow", reason="the converter needs TensorFlow")

import keras

from cvsr_converters import networks
from cvsr_converters.facts import Facts

pytestmark = pytest.mark.training


def kernels(model):
    """Count as the FSRCNN paper does: neither biases nor the slopes of PReLU."""
    return sum(w.shape.num_elements() for w in model.weights if w.name == "kernel")


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_fsrcnn_has_the_papers_counts(scale):
    assert kernels(networks.build("fsrcnn", scale=scale)) == 12464
    assert kernels(networks.build("fsrcnn", scale=scale, d=32, s=5, m=1)) == 3937


def test_espcn_has_the_kernels_of_the_paper():
    # f = 5, 3, 3 and n = 64, 32 at x3
    assert kernels(networks.build("espcn", scale=3)) == 5 * 5 * 64 + 3 * 3 * 64 * 32 + 3 * 3 * 32 * 3**2


@pytest.mark.parametrize("name", ["espcn", "fsrcnn"])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_output_is_the_image_enlarged(name, channels):
    model = networks.build(name, scale=3, channels=channels)
    assert model(np.zeros((1, 5, 7, channels), np.float32)).shape == (1, 15, 21, channels)
    color = {1: "luma", 3: "ycbcr"}[channels]
    wanted = Facts(scale=3, color=color, range=1, tail="image")
    assert networks.facts(name, scale=3, channels=channels) == wanted


def test_fsrcnn_has_a_prelu_behind_each_mapping_layer_or_behind_the_last():
    def slopes(**options):
        model = networks.build("fsrcnn", m=3, **options)
        return [layer for layer in model.layers if isinstance(layer, keras.layers.PReLU)]

    assert len(slopes()) == 6
    assert len(slopes(map_activation="last")) == 4
    assert not slopes(activation="relu")
    with pytest.raises(ValueError, match="must be each or last"):
        networks.build("fsrcnn", map_activation="all")


@pytest.mark.parametrize("name", ["espcn", "fsrcnn"])
def test_clip_limits_the_output_and_the_model_can_be_saved(name, tmp_path):
    model = networks.build(name, scale=2, clip=True)
    model.set_weights([np.ones(w.shape, np.float32) for w in model.get_weights()])
    x = np.ones((1, 6, 6, 1), np.float32)
    assert float(np.max(model(x))) == 1
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(keras.models.load_model(tmp_path / "model.keras")(x), model(x))


TRAINED = [
    ("espcn", "keras_weights_espcn/ESPCN-x2.h5", {"scale": 2}, 1.5),
    ("espcn", "keras_weights_espcn/ESPCN-x3.h5", {"scale": 3}, 2.0),
    ("espcn", "keras_weights_espcn/ESPCN-x4.h5", {"scale": 4}, 1.0),
    ("fsrcnn", "keras_weights_fsrcnn/FSRCNN-x2.h5", {"scale": 2, "map_activation": "last"}, 1.5),
    ("fsrcnn", "keras_weights_fsrcnn/FSRCNN-x3.h5", {"scale": 3, "map_activation": "last"}, 2.0),
    ("fsrcnn", "keras_weights_fsrcnn/FSRCNN-x4.h5", {"scale": 4, "map_activation": "last"}, 0.8),
]


@pytest.mark.parametrize(("name", "file", "options", "gain"), TRAINED)
def test_weights_of_others_beat_bicubic_in_the_color_that_the_facts_say(data_root, name, file, options, gain):
    cv2 = pytest.importorskip("cv2")
    from cvsr_converters.sources import Options
    from cvsr_converters.sources.keras import hdf5

    read = Options(network=name, network_options={"channels": 3, "clip": True, **options})
    net = hdf5.read(data_root / "models" / file, read)
    scale = options["scale"]
    image = cv2.imread(str(next((data_root / "images" / "Set5").glob("*butterfly*"))))
    image = image[: image.shape[0] // scale * scale, : image.shape[1] // scale * scale]
    small = cv2.resize(image, None, fx=1 / scale, fy=1 / scale, interpolation=cv2.INTER_AREA)
    large = cv2.resize(small, image.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    planes = cv2.cvtColor(small, cv2.COLOR_BGR2YCrCb)[..., [0, 2, 1]].astype(np.float32) / 255
    out = net.run(planes.transpose(2, 0, 1)[None])[0][0].transpose(1, 2, 0)
    ours = cv2.cvtColor(np.rint(out[..., [0, 2, 1]] * 255).astype(np.uint8), cv2.COLOR_YCrCb2BGR)
    assert psnr(ours, image) > psnr(large, image) + gain


def psnr(a, b, border=12):
    """Leave out the border: zeros around planes of color, whose gray is 0.5, tint it in these networks."""
    a, b = (image[border:-border, border:-border] for image in (a, b))
    return 10 * np.log10(255**2 / np.mean((a.astype(np.float64) - b) ** 2))
