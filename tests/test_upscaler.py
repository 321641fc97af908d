"""Image in, image out: kinds, scales, tiles, threads, progress, budgets."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kit import onnxlite
from kit.processes import PATIENCE

import cvsr
from cvsr.errors import Cancelled, DeviceError, MemoryBudgetError, ModelError, OptionError
from cvsr.inference import plan
from cvsr.inference.network import Network

RNG = np.random.default_rng(3)
KINDS = [(37, 53), (37, 53, 1), (37, 53, 3), (37, 53, 4)]
PEAKS = {"uint8": 255, "uint16": 65535, "float32": 1}


def picture(shape, dtype):
    """Smooth random colors of the kind, with some of them at the ends of the range."""
    small = RNG.random((4, 5, *shape[2:]))
    rows, columns = (np.arange(n) * 4 // n for n in shape[:2])
    values = np.clip(small[rows][:, columns] * 1.4 - 0.2 + 0.05 * RNG.random(shape), 0, 1)
    return values.astype(dtype) if dtype == "float32" else np.rint(values * PEAKS[dtype]).astype(dtype)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A folder of random networks for x2 and x3."""
    folder = tmp_path_factory.mktemp("random")
    for scale in (2, 3):
        (folder / f"random_x{scale}.onnx").write_bytes(onnxlite.conv_chain(8, 2, scale, scale))
    return folder


@pytest.mark.parametrize("shape", KINDS)
@pytest.mark.parametrize("dtype", PEAKS)
@pytest.mark.parametrize("scale", [2, 3, 1.5, 0.5, 4])
def test_the_same_kind_comes_back(model, shape, dtype, scale):
    image = picture(shape, dtype)
    kept = image.copy()
    result = cvsr.upscale(image, scale, model=model)
    assert result.dtype == image.dtype and result.ndim == image.ndim
    assert result.shape == (round(37 * scale), round(53 * scale), *shape[2:])
    assert (image == kept).all(), "the input is the caller's"
    assert result.flags.c_contiguous and result.flags.writeable


@pytest.mark.parametrize("dtype", PEAKS)
def test_kinds_agree_with_each_other(model, dtype):
    image = picture((37, 53), "uint8")
    other = (image * (PEAKS[dtype] / 255)).astype(dtype)
    a = cvsr.upscale(image, 2, model=model) / 255
    b = cvsr.upscale(other, 2, model=model) / PEAKS[dtype]
    assert np.abs(a - b).max() <= 0.5 / 255 + 1e-6


def test_gray_as_color_stays_gray(model):
    gray = picture((37, 53), "uint8")
    color = cvsr.upscale(np.dstack([gray] * 3), 2, model=model)
    assert np.abs(color.astype(int) - cvsr.upscale(gray, 2, model=model)[:, :, None]).max() <= 1


def test_views_are_as_good_as_copies(model):
    image = picture((60, 80, 3), "uint8")
    for view in (image[::2, ::3], image[:, ::-1], image.transpose(1, 0, 2), image[5:40, 7:50, ::-1]):
        assert (cvsr.upscale(view, 2, model=model) == cvsr.upscale(view.copy(), 2, model=model)).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 9, 3), (9, 1, 4), (2, 2, 1)])
@pytest.mark.parametrize("scale", [2, 3, 1.3])
def test_tiny_images(model, shape, scale):
    assert cvsr.upscale(picture(shape, "uint8"), scale, model=model).shape[:2] == tuple(
        max(1, round(n * scale)) for n in shape[:2]
    )


def test_color_under_transparent_pixels_does_not_show(model):
    image = picture((37, 53, 4), "uint8")
    image[:, :20, 3], image[:, 20:, 3] = 255, 0
    other = image.copy()
    other[:, 20:, :3] = 255 - other[:, 20:, :3]
    a, b = (cvsr.upscale(x, 2, model=model) for x in (image, other))
    assert (a[:, :40] == b[:, :40]).all() and (a[:, :, 3] == b[:, :, 3]).all()
    for name in ("bicubic", "lanczos"):
        a, b = (cvsr.upscale(x, 2, model=name) for x in (image, other))
        assert (a[:, :40] == b[:, :40]).all()


def test_size_wins_any_aspect(model):
    assert cvsr.upscale(picture((37, 53, 3), "uint8"), size=(200, 50), model=model).shape == (50, 200, 3)


@pytest.mark.parametrize(
    ("scales", "factor", "expected"),
    [
        ([2, 3, 4], 2, [2]),
        ([2, 3, 4], 1.5, [2]),
        ([2, 3, 4], 2.5, [3]),
        ([2, 3, 4], 8, [4, 2]),
        ([2, 3, 4], 5, [3, 2]),
        ([2, 3, 4], 9, [3, 3]),
        ([2, 3, 4], 64, [4, 4, 4]),
        ([2], 3, [2, 2]),
        ([4], 1.5, [4]),
        ([2, 3], 1, []),
        ([2, 3], 0.3, []),
    ],
)
def test_chain_takes_the_fewest_and_least_scales_that_reach_the_factor(scales, factor, expected):
    assert plan.chain(scales, factor) == expected


def test_a_model_that_does_not_enlarge_cannot_reach_a_scale():
    with pytest.raises(ModelError, match="cannot reach a scale of 2"):
        plan.chain([1], 2)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    height=st.integers(1, 90),
    width=st.integers(1, 90),
    tile=st.integers(1, 48),
    scale=st.sampled_from([2, 3]),
    channels=st.sampled_from([(), (1,), (3,), (4,)]),
    dtype=st.sampled_from(list(PEAKS)),
    threads=st.sampled_from([1, 2]),
)
def test_tiled_equals_untiled(model, height, width, tile, scale, channels, dtype, threads):
    image = picture((height, width, *channels), dtype)
    whole, tiled = (cvsr.Upscaler(model, scale, exact=True, tile=t, threads=threads)(image) for t in (0, tile))
    assert (whole == tiled).all(), "exact: bit for bit"
    whole, tiled = (cvsr.Upscaler(model, scale, tile=t, threads=threads)(image).astype(float) for t in (0, tile))
    assert np.abs(whole - tiled).max() <= {"uint8": 1, "uint16": 1, "float32": 1e-5}[dtype]


@pytest.mark.parametrize("scale", [1.5, 2, 5, 6.3])
def test_bands_are_the_whole(model, scale):
    image = picture((500, 61, 3), "uint8")
    upscaler = cvsr.Upscaler(model, scale, exact=True, tile=32, threads=1)
    bands = list(upscaler.bands(image))
    assert (np.concatenate(bands) == upscaler(image)).all()
    assert len(bands) > 1
    other = cvsr.Upscaler(model, scale, exact=True, tile=47)
    assert (other(image) == upscaler(image)).all(), "whatever the tiles, also through several networks and a resize"


def test_threads_share_an_upscaler(model):
    upscaler = cvsr.Upscaler(model, 2, exact=True, tile=32)
    images = [picture((50 + i, 60, 3), "uint8") for i in range(4)]
    expected = [cvsr.Upscaler(model, 2, exact=True, tile=32)(image) for image in images]
    wrong = []

    def work(i):
        for _ in range(3):
            if not (upscaler(images[i]) == expected[i]).all():
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_fork_gets_threads_of_its_own(model):
    """With OpenCV's own threads off: they do not survive a fork either."""
    code = """
import os, sys
import numpy as np
import cvsr
from cvsr._cv2 import cv2
cv2.setNumThreads(1)
upscaler = cvsr.Upscaler(sys.argv[1], 2, tile=16, threads=2)
image = np.random.default_rng(0).integers(0, 256, (50, 60, 3), np.uint8)
expected = upscaler(image)
child = os.fork()
if child == 0:
    os._exit(0 if (upscaler(image) == expected).all() else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    root = str(Path(cvsr.__file__).parents[1])
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run([sys.executable, "-c", code, str(model)], env=variables, timeout=PATIENCE, check=False)
    assert done.returncode == 0


def test_progress_counts_every_tile_once(model):
    seen = []
    cvsr.Upscaler(model, 6, tile=32)(picture((50, 70, 4), "uint8"), progress=seen.append)
    assert [step.done for step in seen] == list(range(1, seen[-1].total + 1))
    first = 2 * 3  # tiles of the first network, for color and for alpha
    assert seen[-1].total == 2 * (first + len({(s.tile.rows, s.tile.columns) for s in seen}) - first)


def test_cancel_stops_between_tiles(model):
    seen = []
    upscaler = cvsr.Upscaler(model, 2, tile=16, threads=1)
    with pytest.raises(Cancelled, match="of 16 tiles"):
        upscaler(picture((64, 64), "uint8"), progress=seen.append, cancel=lambda: len(seen) >= 3)
    assert 3 <= len(seen) < 16
    assert upscaler(picture((64, 64), "uint8")).shape == (128, 128), "it can be used again"


def test_an_error_of_the_callers_comes_through(model):
    def progress(_):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        cvsr.Upscaler(model, 2)(picture((64, 64), "uint8"), progress=progress)


def test_small_budgets_make_small_tiles_and_equal_results(model):
    image = picture((300, 400, 3), "uint8")
    free, tight = cvsr.Upscaler(model, 2, exact=True), cvsr.Upscaler(model, 2, exact=True, max_memory="4M")
    steps, few = [], []
    assert (tight(image, progress=steps.append) == free(image, progress=few.append)).all()
    assert len(steps) > len(few)
    with pytest.raises(MemoryBudgetError, match="needs at least"):
        cvsr.Upscaler(model, 2, max_memory=1000)(image)


def test_a_budget_may_be_one_calls(model):
    image, upscaler = picture((60, 60, 3), "uint8"), cvsr.Upscaler(model, 2)
    for call in (upscaler, upscaler.bands, cvsr.Sequence(upscaler)):
        with pytest.raises(MemoryBudgetError, match="needs at least"):
            list(call(image, max_memory=1000))
    assert upscaler.max_memory is None
    assert (upscaler(image, max_memory="1G") == upscaler(image)).all()


def test_a_budget_for_fewer_threads_is_kept(model, monkeypatch):
    image = picture((256, 512), "uint8")
    info = cvsr.Upscaler(model, 2).info
    budget = next(
        size
        for size in range(3 << 20, 1 << 26, 1 << 17)
        if plan.tiles(info, (512, 256), 1, threads=4, tile=64, max_memory=size).workers == 2
    )
    running, most, forward, enough = [], [], Network.forward, threading.Event()

    def counted(self, blob, requested=""):
        running.append(1)
        most.append(len(running))
        if len(running) == wanted:
            enough.set()
        elif threading.current_thread() is not threading.main_thread():
            enough.wait(PATIENCE)  # for company
        result = forward(self, blob, requested)
        running.pop()
        return result

    monkeypatch.setattr(Network, "forward", counted)
    for wanted, limit in ((2, budget), (4, None)):
        enough.clear()
        most.clear()
        cvsr.Upscaler(model, 2, threads=4, tile=64, max_memory=limit)(image)
        assert max(most) == wanted


@pytest.mark.parametrize("name", ["nearest", "bilinear", "bicubic", "lanczos", "area"])
@pytest.mark.parametrize("dtype", PEAKS)
def test_interpolations_are_models_too(name, dtype):
    image = picture((20, 30, 3), dtype)
    upscaler = cvsr.Upscaler(name, 2.5)
    assert upscaler(image).shape == (50, 75, 3)
    assert upscaler.ran_on.backend == "cv2.resize" and upscaler.info.format == "interpolation"
    assert cvsr.upscale(image[:, :, 0], size=(7, 9), model=name).shape == (9, 7)


@pytest.mark.parametrize(
    ("options", "error", "hint"),
    [
        ({"scale": 0}, OptionError, "above 0"),
        ({"scale": -2}, OptionError, "above 0"),
        ({"scale": float("nan")}, OptionError, "above 0"),
        ({"scale": 1000}, OptionError, "at most 64"),
        ({"scale": "2"}, OptionError, "number"),
        ({"scale": True}, OptionError, "number"),
        ({"size": (0, 5)}, OptionError, "at least 1"),
        ({"size": 5}, OptionError, "(width, height)"),
        ({"scale": 2, "size": (4, 4)}, OptionError, "not both"),
        ({"max_memory": "lots"}, OptionError, "512M"),
        ({"max_memory": 0}, OptionError, "512M"),
        ({"tile": -1}, OptionError, "tile"),
        ({"device": "gpu"}, OptionError, "cuda"),
        ({"model": "cvsr-huge"}, cvsr.ModelNotFoundError, "bicubic"),
        ({"model": "missing.onnx"}, cvsr.ModelNotFoundError, "missing.onnx"),
        ({"model": "bicubic", "device": "cuda"}, DeviceError, "device='cpu'"),
    ],
)
def test_bad_options_are_told_at_once(options, error, hint):
    with pytest.raises(error) as caught:
        cvsr.Upscaler(**{"model": "bicubic", **options})
    assert hint in str(caught.value)


def test_what_ran_is_told(model):
    upscaler = cvsr.Upscaler(model, 2)
    ran = upscaler.ran_on
    assert ran.device == "cpu" and ran.requested == "auto" and ran.engine in ("classic", "new")
    assert upscaler.info.scale == 2 and upscaler.info.radius == 2 + 2 + 1 and "cpu" in str(ran)


def test_warmup_loads_all_that_a_call_needs(model):
    upscaler = cvsr.Upscaler(model, 6)
    upscaler.warmup()
    assert sorted(upscaler._execution._networks) == [2, 3]
