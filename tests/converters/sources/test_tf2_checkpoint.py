"""Checkpoints of TensorFlow 2: weights find their layers by the graph of objects, or are refused with their shapes."""

from __future__ import annotations

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow", reason="the converter needs TensorFlow")
pytest.importorskip("tf2onnx", reason="the converter needs tf2onnx")

import keras

from cvsr.errors import ModelError
from cvsr_converters import networks
from cvsr_converters.facts import Facts
from cvsr_converters.sources import Options
from cvsr_converters.sources.tensorflow import checkpoint2

pytestmark = pytest.mark.training

SMALL = {"scale": 2, "d": 6, "s": 4, "m": 2}
OPTIONS = Options(network="fsrcnn", network_options=SMALL)
random = np.random.default_rng(0)
image = random.random((1, 1, 9, 7)).astype(np.float32)


def randomised(model):
    model.set_weights([random.normal(0, 0.2, w.shape).astype(np.float32) for w in model.get_weights()])
    return model


@pytest.fixture(scope="module")
def model():
    return randomised(networks.build("fsrcnn", **SMALL))


@pytest.fixture(scope="module")
def wanted(model):
    return np.asarray(model(image.transpose(0, 2, 3, 1))).transpose(0, 3, 1, 2)


def save(folder, **objects):
    """Save a checkpoint in ``folder``; return its prefix."""
    return tf.train.Checkpoint(**objects).save(str(folder / "ckpt"))


def test_a_trained_model_is_found_beside_its_optimizer_and_other_networks(tmp_path, model, wanted):
    optimizer = keras.optimizers.Adam()
    optimizer.build(model.trainable_variables)
    other = networks.build("espcn", widths=(4, 4))
    save(tmp_path, discriminator=other, optimizer=optimizer, generator=model, step=tf.Variable(7))
    net = checkpoint2.read(tmp_path, OPTIONS)
    assert net.notes == []
    assert net.facts == Facts(scale=2, color="luma", range=1, tail="image")
    np.testing.assert_allclose(net.run(image)[0], wanted, atol=1e-6)


def test_of_two_that_fit_the_first_is_taken_and_the_notes_say_so(tmp_path, model, wanted):
    save(tmp_path, net=model, slower=randomised(networks.build("fsrcnn", **SMALL)))
    net = checkpoint2.read(tmp_path, OPTIONS)
    assert "using net, not slower" in net.notes[0].replace("/_operations", "")
    np.testing.assert_allclose(net.run(image)[0], wanted, atol=1e-6)


def modules(model, order):
    """Return a tf.Module whose attributes are the model's layers with names of their own, made in ``order``."""
    module, layers = tf.Module(), [layer for layer in model.layers if layer.weights]
    for i in order(range(len(layers))):
        part = tf.Module()
        for weight in layers[i].weights:
            setattr(part, f"v_{weight.name}", tf.Variable(weight.numpy()))
        setattr(module, f"part{i}", part)
    return module


def test_layers_of_other_names_go_by_order_or_else_by_shape(tmp_path):
    options = {"scale": 2, "widths": (5, 4)}
    espcn = randomised(networks.build("espcn", **options))
    wanted = np.asarray(espcn(image.transpose(0, 2, 3, 1))).transpose(0, 3, 1, 2)
    for order in (list, reversed):
        prefix = save(tmp_path, it=modules(espcn, order))
        net = checkpoint2.read(tmp_path / f"{prefix}.index", Options(network="espcn", network_options=options))
        np.testing.assert_allclose(net.run(image)[0], wanted, atol=1e-6)
        assert bool(net.notes) is (order is reversed)
    assert "matched by shape" in net.notes[0]


def test_weights_that_do_not_fit_are_refused_with_a_table(tmp_path, model):
    save(tmp_path, net=model)
    options = Options(network="fsrcnn", network_options={**SMALL, "d": 7})
    with pytest.raises(ModelError, match=r"'fsrcnn'(.|\n)*: 5x5x1x7 7 +net/_operations/1: 5x5x1x6 6(.|\n)*options"):
        checkpoint2.read(tmp_path, options)
    with pytest.raises(ModelError, match="--network"):
        checkpoint2.read(tmp_path, Options())


def test_matches_the_folder_the_files_and_their_beginning_but_not_with_meta(tmp_path, model):
    prefix = tmp_path / save(tmp_path, net=model)
    assert checkpoint2.matches(tmp_path)
    assert checkpoint2.matches(prefix)
    for file in tmp_path.glob("ckpt*"):
        assert checkpoint2.matches(file)
    assert not checkpoint2.matches(tmp_path / "other")
    assert not checkpoint2.matches(tmp_path / "checkpoint")
    (tmp_path / f"{prefix.name}.meta").touch()
    assert not checkpoint2.matches(tmp_path)
    assert not checkpoint2.matches(prefix)


def test_a_folder_that_has_moved_is_read_where_it_is(tmp_path, model, wanted):
    prefix = save(tmp_path, net=model)
    (tmp_path / "checkpoint").write_text(f'model_checkpoint_path: "/somewhere/else/{prefix.rpartition("/")[2]}"\n')
    np.testing.assert_allclose(checkpoint2.read(tmp_path, OPTIONS).run(image)[0], wanted, atol=1e-6)


def test_broken_and_cut_files_are_refused(tmp_path, model):
    prefix = save(tmp_path, net=model)
    data, index = tmp_path / f"{prefix}.data-00000-of-00001", tmp_path / f"{prefix}.index"
    whole = data.read_bytes()
    data.write_bytes(whole[:200])
    with pytest.raises(ModelError, match=r"variables need \d+ bytes.*data file has 200: it is truncated"):
        checkpoint2.read(tmp_path, OPTIONS)
    data.write_bytes(bytes(len(whole)))  # as long as it was: the checksums tell
    with pytest.raises(ModelError, match="cannot be read"):
        checkpoint2.read(tmp_path, OPTIONS)
    data.unlink()
    with pytest.raises(ModelError, match=r"\.data-00000-of-00001 is missing .*: get both files"):
        checkpoint2.read(tmp_path, OPTIONS)
    data.write_bytes(whole)
    for content in (b"", index.read_bytes()[:-30], b"\xff" * 300):
        index.write_bytes(content)
        with pytest.raises(ModelError, match="index is truncated or broken"):
            checkpoint2.read(tmp_path, OPTIONS)


def test_a_checkpoint_of_names_is_not_of_objects(tmp_path):
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        tf.compat.v1.get_variable("w", (2, 2), use_resource=True)
        session.run(tf.compat.v1.global_variables_initializer())
        tf.compat.v1.train.Saver().save(session, str(tmp_path / "ckpt"), write_meta_graph=False)
    with pytest.raises(ModelError, match=r"not written by tf\.train\.Checkpoint"):
        checkpoint2.read(tmp_path, OPTIONS)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_espcn_of_others_equals_their_h5(data_root, scale):
    from cvsr_converters.sources.keras import hdf5

    options = Options(network="espcn", network_options={"scale": scale, "channels": 3})
    color = random.random((1, 3, 12, 10)).astype(np.float32)
    net = checkpoint2.read(data_root / "models" / "tf2_checkpoint_espcn" / f"x{scale}", options)
    same = hdf5.read(data_root / "models" / "keras_weights_espcn" / f"ESPCN-x{scale}.h5", options)
    assert net.notes == []
    np.testing.assert_allclose(net.run(color)[0], same.run(color)[0], atol=1e-6)
