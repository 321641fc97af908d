"""SegmentNets networks in segments: the same pixels as in one piece, whatever the bands, tiles and skips."""

from __future__ import annotations

import gc
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kit import onnxlite

import cvsr
from cvsr._cv2 import VERSION
from cvsr.errors import Cancelled, MemoryBudgetError
from cvsr.inference import plan, segment_nets, segments, stages
from cvsr.inference.plan import SegmentPlan
from cvsr.inference.row_window import Window
from cvsr.inference.segmented import Streamed
from cvsr.modelfiles import onnx_reader

WIDTH = 6


class Net:
    """A network of 3x3 convolutions in the making."""

    def __init__(self, channels=1):
        self.random = np.random.default_rng(0)
        self.nodes, self.weights = [], {}
        self.channels, self.here = {"x": channels}, "x"

    def conv(self, outputs=WIDTH, source=None):
        source = source or self.here
        name, fan = f"t{len(self.nodes)}", self.channels[source]
        kernel = self.random.normal(0, (1.6 / (fan * 9)) ** 0.5, (outputs, fan, 3, 3))
        self.weights["w" + name] = kernel.astype(np.float32)
        return self._add("Conv", [source, "w" + name], outputs, kernel_shape=[3, 3], pads=[1] * 4)

    def relu(self):
        return self._add("Relu", [self.here], self.channels[self.here])

    def add(self, other):
        return self._add("Add", [other, self.here], self.channels[other])

    def shuffle(self, mode="CRD"):
        name = self._add("DepthToSpace", [self.here], self.channels[self.here] // 4, blocksize=2)
        text = onnxlite._field(1, "mode") + onnxlite._field(4, mode) + onnxlite._field(20, 3)
        self.nodes[-1] += onnxlite._field(5, text)
        return name

    def _add(self, op, inputs, channels, **attributes):
        name = f"t{len(self.nodes)}"
        self.nodes.append(onnxlite.node(op, inputs, name, **attributes))
        self.channels[name], self.here = channels, name
        return name

    def write(self, path, radius, size=64, **facts):
        source = self.channels["x"]
        facts = {"name": path.stem, "scale": 2, "color": "rgb" if source == 3 else "luma", "range": 1} | facts
        metadata = {f"cvsr.{key}": str(value) for key, value in facts.items()} | {"cvsr.radius": str(radius)}
        outputs = {self.here: (1, self.channels[self.here], size, size)}
        path.write_bytes(onnxlite.model(self.nodes, self.weights, {"x": (1, source, 64, 64)}, outputs, metadata))
        return path


def chain(folder):
    """Luma, to sub-pixels; the host adds the image."""
    net = Net()
    for _ in range(18):
        net.conv()
        net.relu()
    net.conv(4)
    return net.write(folder / "chain_x2.onnx", 19, tail="subpixel", skip="nearest")


def residual(folder):
    """Color, as EDSR: blocks, a long skip, a pixel shuffle, and one more convolution."""
    net = Net(3)
    head = net.conv()
    for _ in range(8):
        block = net.here
        net.conv()
        net.relu()
        net.conv()
        net.add(block)
    net.conv()
    net.add(head)
    net.conv(4 * WIDTH)
    net.shuffle()
    net.conv(3)
    return net.write(folder / "residual_x2.onnx", 20, 128, tail="image")


def enlarged(folder):
    """Luma, as VDSR: it reads the image enlarged, and adds to that."""
    net = Net()
    for _ in range(35):
        net.conv()
        net.relu()
    net.conv(1)
    net.add("x")
    return net.write(folder / "enlarged_x2.onnx", 20, tail="image", inputs="bicubic")


BUILT = {"chain": chain, "residual": residual, "enlarged": enlarged}


if VERSION < (4, 11, 0):
    del BUILT["residual"]  # those read DepthToSpace for one size only


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("deep")
    return {name: build(folder) for name, build in BUILT.items()} | {"residual": residual(folder)}


@pytest.fixture
def bands(monkeypatch):
    """Set how wide tiles and how high bands are, so small that a small image has several."""

    def choose(tile, rows):
        monkeypatch.setattr(plan, "segments", lambda *_, **__: SegmentPlan(tile, rows, max(1, rows // 4)))

    return choose


def test_cuts_lie_between_blocks(models):
    parts = segments.cut(models["residual"].read_bytes(), 20)
    assert [part.shuffle for part in parts] == [0] * 5 + [2, 0]
    assert [len(part.inputs) for part in parts] == [1, 1, 1, 1, 2, 1, 1], "the skip is read once, at the end"
    assert [part.radius for part in parts] == [5, 4, 4, 4, 2, 0, 1]
    for part in parts:
        facts = onnx_reader.read_onnx(part.onnx)
        assert {name for name, _ in facts.inputs} == set(part.inputs)
        assert [name for name, _ in facts.outputs] == list(part.outputs)


def test_activations_stay_with_their_convolutions(models):
    parts = segments.cut(models["chain"].read_bytes(), 19)
    assert sum(part.radius for part in parts) == 19
    assert all(onnx_reader.read_onnx(part.onnx).ops[-1] == "Relu" for part in parts[:-1])


@pytest.mark.parametrize("name", BUILT)
@pytest.mark.parametrize("how", [(16, 8), (40, 24), (1000, 1000)])
def test_the_same_pixels_as_in_one_piece(name, how, models, bands, photo):
    bands(*how)
    image = photo("astronaut")[30:91, 100:177]
    whole = cvsr.Upscaler(models[name], 2, tile=0, exact=True)(image)
    upscaler = cvsr.Upscaler(models[name], 2, exact=True)
    assert np.array_equal(upscaler(image), whole)
    assert isinstance(upscaler._execution.stage(stages.ImageSource(image), 2, 3, None, stages.Watch()), Streamed)
    assert np.abs(cvsr.Upscaler(models[name], 2)(image).astype(int) - whole).max() <= 1


@pytest.mark.parametrize("kind", ["gray", "bgra", "uint16", "float32"])
@pytest.mark.parametrize("name", [name for name in BUILT if name != "enlarged"])
def test_all_kinds_of_images(name, kind, models, bands, photo):
    bands(24, 16)
    bgr = photo("astronaut")[30:91, 100:157]
    image = {
        "gray": lambda: bgr[:, :, 1],
        "bgra": lambda: np.dstack([bgr, np.where(bgr[:, :, 0] > 99, 255, 40).astype(np.uint8)]),
        "uint16": lambda: bgr.astype(np.uint16) * 257,
        "float32": lambda: bgr / np.float32(255),
    }[kind]()
    made = cvsr.Upscaler(models[name], 2, exact=True)(image)
    assert np.array_equal(made, cvsr.Upscaler(models[name], 2, tile=0, exact=True)(image))


def test_several_passes_and_a_size_between(models, bands, photo):
    bands(24, 16)
    image = photo("astronaut")[30:71, 100:147]
    for name, scale in (("chain", 4), ("enlarged", 3)):
        made = cvsr.Upscaler(models[name], scale, exact=True)(image)
        assert np.array_equal(made, cvsr.Upscaler(models[name], scale, tile=0, exact=True)(image))


@settings(max_examples=20, deadline=None)
@given(
    name=st.sampled_from(list(BUILT)), width=st.integers(1, 70), height=st.integers(1, 70),
    tile=st.integers(8, 40), rows=st.integers(1, 40), band=st.integers(1, 40),
)  # fmt: skip
def test_any_size(models, name, width, height, tile, rows, band):
    image = np.random.default_rng(width * 71 + height).integers(0, 256, (height, width, 3), np.uint8)
    upscaler = cvsr.Upscaler(models[name], 2, exact=True)
    network = upscaler._execution.network(2)
    found = segment_nets.in_segments(network)
    watch, pool = stages.Watch(), upscaler._execution.pool()
    stage = Streamed(stages.ImageSource(image), found, SegmentPlan(tile, rows, band), pool, watch)
    made = np.concatenate([stage.rows(*edge) for edge in zip([0, *stage.edges()], stage.edges(), strict=False)])
    assert np.array_equal(made, cvsr.Upscaler(models[name], 2, tile=0, exact=True)(image))
    assert watch.done == watch.total


def test_progress_and_cancel(models, bands, photo):
    bands(24, 16)
    seen, upscaler = [], cvsr.Upscaler(models["chain"], 2)
    image = photo("astronaut")[:64, :80]
    upscaler(image, progress=seen.append)
    assert [each.done for each in seen] == list(range(1, seen[0].total + 1))
    with pytest.raises(Cancelled):
        upscaler(image, cancel=lambda: True)
    assert upscaler(image).shape == (128, 160, 3)


@pytest.mark.skipif(VERSION < (4, 11, 0), reason="this OpenCV reads DepthToSpace for one size only")
def test_a_frame_as_the_last_is_not_computed_again(models, photo, bands, monkeypatch):
    bands(24, 8)
    frame, other = photo("astronaut")[:50, :60].copy(), photo("chelsea")[:50, :60]
    upscaler = cvsr.Upscaler(models["chain"], 2)
    film, wanted = cvsr.Sequence(upscaler), [upscaler(frame), upscaler(other)]
    runs, forward = [], segment_nets.SegmentNets.forward
    monkeypatch.setattr(segment_nets.SegmentNets, "forward", lambda *args: runs.append(1) or forward(*args))
    counts = []
    for shown, result in ((frame, 0), (frame, 0), (other, 1), (frame, 0)):
        made = film(shown)
        assert np.array_equal(made, wanted[result])
        made[:] = 0  # the caller's own
        counts.append(len(runs))
    assert 0 < counts[0] == counts[1] < counts[2] < counts[3]


def test_networks_that_cannot_be_cut_run_as_before(tmp_path, photo):
    dense, order = Net(), Net()
    first = [dense.conv() for _ in range(17)]
    dense.add(first[0])  # every map is needed until the end
    for each in first[1:-1]:
        dense.add(each)
    dense.conv(4)
    for _ in range(17):
        order.conv()
    order.conv(8)
    order.shuffle("DCR")
    order.conv(1)
    image = photo("astronaut")[:50, :60]
    found = {
        "dense": dense.write(tmp_path / "dense_x2.onnx", 18, tail="subpixel"),
        "order": order.write(tmp_path / "order_x2.onnx", 19, 128, tail="image"),
    }
    for path in found.values():
        upscaler = cvsr.Upscaler(path, 2, exact=True)
        assert segment_nets.in_segments(upscaler._execution.network(2)) is None
        assert np.array_equal(upscaler(image), cvsr.Upscaler(path, 2, exact=True, tile=0)(image))


def test_a_convolution_that_changes_the_size_is_in_the_last_segment():
    net = Net()
    for _ in range(13):
        net.conv()
    last = net.conv()
    net.nodes[-1] = onnxlite.node("Conv", ["t12", "w" + last], last, kernel_shape=[3, 3], pads=[0] * 4)
    for _ in range(4):
        net.conv()
    data = onnxlite.model(net.nodes, net.weights, {"x": (1, 1, 64, 64)}, {net.here: (1, WIDTH, 62, 62)}, {})
    assert [part.radius for part in segments.cut(data, 18)] == [4, 4, 4, 6]


def test_shallow_networks_and_tiles_that_were_asked_for_are_not_cut(models):
    assert segment_nets.in_segments(cvsr.Upscaler("cvsr-small", 2)._execution.network(2)) is None
    asked = cvsr.Upscaler(models["chain"], 2, tile=32)._execution
    assert asked.segment_nets(asked.network(2)) is None


def test_a_small_budget_takes_tiles(models):
    info = cvsr.open_model(models["residual"])
    parts = segments.cut(models["residual"].read_bytes(), 20)
    rows = [plan.segments(info, parts, (2000, 2000), max_memory=size << 20) for size in (200, 60, 1)]
    assert rows[0].rows > rows[1].rows > 0 and rows[2] is None
    assert plan.segments(info, parts, (128, 100), max_memory=None) is None, "one tile is enough"
    with pytest.raises(MemoryBudgetError):
        cvsr.Upscaler(models["chain"], 2, max_memory=1000)(np.zeros((300, 300, 3), np.uint8))


def test_a_window_forgets_what_all_have_read():
    window = Window(lambda stop: window.grow(stop, (2, 0, 5)).fill(stop), 1)
    window.readers |= {"a": 0, "b": 0}
    assert window.rows(0, 10).shape == (2, 10, 5)
    held = weakref.ref(window._data)
    window.readers |= {"a": 8, "b": 6}
    assert (window.rows(6, 14)[0, :, 0] == [10] * 4 + [14] * 4).all()
    gc.collect()
    assert held() is None and window._data.shape[1] == 8
    held = weakref.ref(window._data)
    window.released("a", 12)
    assert window._data.shape[1] == 8, "the other may still ask for them"
    window.released("b", 12)
    gc.collect()
    assert held() is None and window._data.shape[1] == 2 and (window.rows(12, 14) == 14).all()


def test_threads_at_the_same_time_have_nets_of_their_own(models, bands, photo):
    bands(24, 16)
    image, upscaler = photo("astronaut")[:64, :80], cvsr.Upscaler(models["chain"], 2, exact=True)
    whole = upscaler(image)
    parts = upscaler._execution.segment_nets(upscaler._execution.network(2))
    assert len(parts._idle) == 1, "one after the other, they take the same"
    with ThreadPoolExecutor(3) as pool:
        assert all(np.array_equal(made, whole) for made in pool.map(upscaler, [image] * 9))
    assert 1 <= len(parts._idle) <= 3
