"""What is found out of a network by trying it: sizes, blocks, colors, ranges; and the changes that follow from it."""

from __future__ import annotations

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="the converter needs onnx")
cv2 = pytest.importorskip("cv2")

from onnx import numpy_helper, parser
from onnx.reference import ReferenceEvaluator

from cvsr.errors import ModelError
from cvsr_converters.conversion import adapters, probe_colors, probe_shapes
from cvsr_converters.conversion.understand import understand
from cvsr_converters.facts import UNKNOWN, Facts
from cvsr_converters.original import Input, Original
from cvsr_converters.proof import runtime_model


def enlarged(blob, scale, method=cv2.INTER_LANCZOS4):
    return np.stack([cv2.resize(p, None, fx=scale, fy=scale, interpolation=method) for p in blob[0]])[None]


def original(run, channels=3, name="net", outputs=("output",), factors=(1,), facts=UNKNOWN):
    """Return an original that has no graph; ``run`` gives one array or a list."""
    inputs = [Input(f"x{i}", channels, factor) for i, factor in enumerate(factors)]

    def listed(*blobs):
        result = run(*blobs)
        return result if isinstance(result, list) else [result]

    return Original(name, inputs, list(outputs), listed, None, facts)


def swapped(blob):
    return blob[:, ::-1]


def ycbcr(blob):
    """RGB 0..1 to YCbCr 0..1."""
    ycc = cv2.cvtColor(np.ascontiguousarray(blob[0].transpose(1, 2, 0), np.float32), cv2.COLOR_RGB2YCrCb)
    return np.ascontiguousarray(ycc[..., [0, 2, 1]].transpose(2, 0, 1))[None]


def rgb(blob):
    rgb = cv2.cvtColor(np.ascontiguousarray(blob[0][[0, 2, 1]].transpose(1, 2, 0), np.float32), cv2.COLOR_YCrCb2RGB)
    return rgb.transpose(2, 0, 1)[None]


def vivid(blob, scale=2):
    """A network of RGB 0..1 that knows its colors: skin and orange stay, what is bluer than red does not."""
    large = enlarged(blob, scale).clip(0, 1)
    red, green, blue = (large[:, i : i + 1] for i in range(3))
    return np.concatenate([red + 0.5 * np.maximum(blue - red - 0.1, 0), 0.98 * green + 0.01, blue], axis=1)


CASES = {
    "rgb 0..1": (vivid, ("rgb", 1)),
    "bgr 0..1": (lambda x: swapped(vivid(swapped(x))), ("bgr", 1)),
    "rgb 0..255": (lambda x: 255 * vivid(x / 255), ("rgb", 255)),
    "ycbcr 0..1": (lambda x: ycbcr(vivid(rgb(x))), ("ycbcr", 1)),
    "rgb -1..1": (lambda x: 2 * vivid((x + 1) / 2) - 1, ("rgb", 1)),
    "rgb 0..1 in, -1..1 out": (lambda x: 2 * vivid(x) - 1, ("rgb", 1)),
    "rgb 0..255 in, 0..1 out": (lambda x: vivid(x / 255), ("rgb", 1)),
}


@pytest.mark.parametrize("name", CASES)
def test_colors_and_ranges_are_seen_on_the_photo(name):
    run, (color, white) = CASES[name]
    net = original(run)
    found = understand(net, UNKNOWN)
    assert (found.facts.color, found.facts.range, found.facts.scale) == (color, white, 2)
    assert any(name in note for note in found.notes)
    # the original that comes out of it takes and gives that range
    image = probe_colors._planes(probe_colors._photo(1, 0), color)[None] * np.float32(white)
    small = enlarged(found.original.run(image)[0], 0.5, cv2.INTER_AREA)
    assert np.abs(small - image).mean() < 0.03 * white


def test_a_network_that_gives_no_picture_gets_the_default_color():
    found = understand(original(lambda x: enlarged(np.sin(50 * x), 2)), UNKNOWN)
    assert (found.facts.color, found.facts.range) == ("rgb", 1)
    assert "using the default" in found.notes[-1]


def test_a_linear_network_shows_nothing_and_is_called_a_guess():
    found = understand(original(lambda x: enlarged(x, 3)), UNKNOWN)
    assert (found.facts.color, found.facts.range) == ("rgb", 1)
    assert "guess" in found.notes[-1]
    named = understand(original(lambda x: enlarged(x, 3), name="espcn_ycbcr"), UNKNOWN)
    assert named.facts.color == "ycbcr"


def test_what_is_given_or_in_the_file_is_not_tried():
    net = original(lambda x: enlarged(x, 2), facts=Facts(color="bgr", range=255.0, mean=(1, 2, 3)))
    assert understand(net, UNKNOWN).facts.color == "bgr"
    assert understand(net, Facts(color="rgb")).facts.color == "rgb"
    assert understand(original(lambda x: enlarged(x, 2)), Facts(range=255)).facts.range == 255
    with pytest.raises(ModelError, match="not luma"):
        understand(net, Facts(color="luma"))
    with pytest.raises(ModelError, match="pass --color and --range"):
        understand(original(lambda x: enlarged(x, 2)), Facts(mean=[0.5, 0.5, 0.5]))


def test_sizes():
    found = probe_shapes.find(original(lambda x: enlarged(x, 4), 1))
    assert found == probe_shapes.Shapes(0, 4, 0, 1, 1)
    lost = probe_shapes.find(original(lambda x: enlarged(x[:, :, 3:-3, 3:-3], 2), 1))
    assert (lost.scale, lost.margin) == (2, 3)


@pytest.mark.parametrize("multiple", [2, 3, 8])
def test_blocks_by_refusal_and_by_a_wrong_size(multiple):
    def refuses(x):
        if x.shape[2] % multiple or x.shape[3] % multiple:
            raise ValueError("does not fit")
        return enlarged(x, 2)

    def crops(x):
        height, width = (n - n % multiple for n in x.shape[2:])
        return enlarged(x[:, :, :height, :width], 2)

    assert probe_shapes.find(original(refuses, 1)).multiple == multiple
    assert probe_shapes.find(original(crops, 1)).multiple == multiple


def test_of_several_outputs_the_largest_or_the_named_one():
    def run(x):
        return [enlarged(x, 2), enlarged(x, 4), x.mean(axis=(2, 3))]

    net = original(run, 1, outputs=("x2", "x4", "flat"), facts=Facts(range=1))
    found = understand(net, UNKNOWN)
    assert (found.facts.scale, found.original.outputs) == (4, ["x4"])
    assert "ignored: x2, flat" in found.notes[0]
    assert understand(net, UNKNOWN, "x2").facts.scale == 2
    with pytest.raises(ModelError, match="it has x2, x4, flat"):
        understand(net, UNKNOWN, "x8")
    with pytest.raises(ModelError, match="not an image"):
        understand(net, UNKNOWN, "flat")


def test_a_network_that_takes_an_enlarged_image_needs_the_scale():
    net = original(lambda x: x, 1)
    with pytest.raises(ModelError, match="--scale 2"):
        understand(net, UNKNOWN)
    found = understand(net, Facts(scale=3))
    assert (found.facts.scale, found.facts.inputs) == (3, "bicubic")
    assert understand(net, Facts(scale=1)).facts.inputs == "image"
    for name, scale in (("srcnn_x3", 3), ("20201107_basic_4x_srcnn", 4), ("VDSR-X2.h5", 2), ("srcnn_9_5_64_2x", 2)):
        found = understand(net, UNKNOWN, hint=name)
        assert (found.facts.scale, found.facts.inputs) == (scale, "bicubic"), name
        assert "its name gives the factor" in " ".join(found.notes)
    for name in ("srcnn_9x9", "net64x2048", "x264"):
        with pytest.raises(ModelError, match="--scale 2"):
            understand(net, UNKNOWN, hint=name)


def test_a_network_that_leaves_the_shuffle_out():
    def planes(x):
        large = enlarged(x, 2)
        return np.concatenate([large[:, :, r::2, c::2] for r in range(2) for c in range(2)], axis=1)

    found = understand(original(planes, 1), UNKNOWN)
    assert (found.facts.scale, found.facts.tail) == (2, "subpixel")


def test_two_inputs():
    net = original(lambda x, large: enlarged(x, 2) * 0.1 + large * 0.9, 1, factors=(1, 2))
    assert understand(net, UNKNOWN).facts.inputs == "image,bicubic"
    with pytest.raises(ModelError, match="3 times as large"):
        understand(original(lambda x, large: enlarged(x, 2), 1, factors=(1, 3)), UNKNOWN)


@pytest.mark.parametrize(
    ("run", "channels", "message"),
    [
        (lambda x: enlarged(x, 2), 4, "4 channels"),
        (lambda x: x[:, :, : x.shape[2] // 2], 3, "must be a whole number"),
        (lambda x: 1 / 0, 3, "division by zero"),
    ],
)
def test_what_cannot_be_used_is_refused(run, channels, message):
    with pytest.raises(ModelError, match=message):
        understand(original(run, channels), UNKNOWN)


def test_wrong_scale_is_refused():
    with pytest.raises(ModelError, match="by 2, not by 3"):
        understand(original(lambda x: enlarged(x, 2), 1), Facts(scale=3))


# --- changes around a network, in its function and in its graph alike


def conv_net(pads):
    """Return an original whose graph is one 3x3 convolution of two channels, and its two outputs."""
    weight = np.random.default_rng(0).normal(size=(2, 2, 3, 3)).astype(np.float32)

    def graph(size):
        out = ",".join(str(n - 2 + 2 * pads) for n in size)
        text = f"""<ir_version: 7, opset_import: ["": 13]> g (float[1,2,{size[0]},{size[1]}] x) =>
            (float[1,2,{out}] y, float[1,2,{out}] z) {{
            y = Conv<kernel_shape = [3, 3], pads = [{pads}, {pads}, {pads}, {pads}]>(x, w) z = Relu(y) }}"""
        model = parser.parse_model(text)
        model.graph.initializer.append(numpy_helper.from_array(weight, "w"))
        return model

    def run(x):
        return ReferenceEvaluator(graph(x.shape[2:])).run(None, {"x": x})

    return Original("conv", [Input("x", 2)], ["y", "z"], run, graph)


@pytest.mark.parametrize(
    "change",
    [
        lambda net: adapters.selected(net, 1),
        lambda net: adapters.affine(net, (2.0, -1.0), (0.5, 0.5)),
        lambda net: adapters.affine(net, ([1.0, 2.0], 0.0), (1.0, [3.0, 4.0])),
        lambda net: adapters.affine(adapters.selected(adapters.padded(net, 2), 0), (255.0, 0.0)),
        lambda net: adapters.padded(net, 1),
    ],
)
def test_graph_and_function_change_alike(change):
    net = change(conv_net(pads=0))
    x = np.random.default_rng(1).random((1, 2, 8, 9)).astype(np.float32)
    graph = net.graph((8, 9))
    onnx.checker.check_model(graph, full_check=True)
    got = ReferenceEvaluator(graph).run(None, {graph.graph.input[0].name: x})
    wanted = net.run(x)
    assert len(got) == len(wanted)
    for a, b in zip(got, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_padding_restores_the_size_and_leaves_the_middle_alone():
    net, x = conv_net(pads=0), np.random.default_rng(1).random((1, 2, 8, 9)).astype(np.float32)
    padded = adapters.padded(net, 1).run(x)[0]
    assert padded.shape == x.shape
    np.testing.assert_allclose(padded[:, :, 1:-1, 1:-1], net.run(x)[0], atol=1e-5)


# --- what the runtime does, against the runtime


@pytest.mark.parametrize(("channels", "skip"), [(1, "nearest"), (1, "none"), (3, "none")])
def test_the_host_in_numpy_is_the_runtime_s(channels, skip):
    from cvsr.inference import processing
    from cvsr.modelfiles.info import ModelInfo

    facts = Facts("net", 3, "bgr" if channels == 3 else "luma", range=1, tail="subpixel", skip=skip)
    random = np.random.default_rng(0)
    output = random.random((1, 9 * channels, 5, 6)).astype(np.float32) - 0.2
    tile = random.random((5, 6, 3) if channels == 3 else (5, 6)).astype(np.float32)
    info = ModelInfo(**facts.known())
    blob = processing.blob(tile, info)
    wanted = processing.image(output, blob, tile, (slice(0, 5), slice(0, 6)), info, True)
    wanted = wanted.transpose(2, 0, 1) if channels == 3 else wanted[None]
    image = runtime_model.limited(facts)(runtime_model.finish(facts)(output, [blob]))
    np.testing.assert_allclose(image[0], wanted, atol=1e-6)


def test_what_is_drawn_is_what_the_runtime_feeds():
    facts = Facts(range=255.0, mean=(100.0, 110.0, 120.0))
    (blob,) = runtime_model.draw([Input("x", 3)], facts)((4, 5), np.random.default_rng(0))
    assert blob.shape == (1, 3, 4, 5)
    assert blob.dtype == np.float32
    assert -120 <= blob[0, 2].min() < -60 < 60 < blob[0, 2].max() <= 135
