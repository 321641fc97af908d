"""Dask arrays: the same bits whatever the chunks, and what the whole image gives."""

from __future__ import annotations

import pickle
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from kit import onnxlite

import cvsr
from cvsr.errors import ImageError, ModelError, ModelNotFoundError, OptionError

da = pytest.importorskip("dask.array", reason="needs the extra dask")

import cvsr.dask
from cvsr.dask import chunks as dask_chunks
from cvsr.dask import shipping

RNG = np.random.default_rng(5)
HEIGHT, WIDTH = 150, 131
CHUNKINGS = [(64, 64), ((3, 7, 100, 40), (64, 67)), (150, 131), (13, 131)]
"""Even, uneven, one, and with chunks smaller than what the networks see (5 pixels)."""


def picture(*shape, dtype="uint8") -> np.ndarray:
    values = RNG.random(shape)
    if shape[-1] == 4:
        values[..., 3] *= np.add.outer(np.arange(shape[-3]), np.arange(shape[-2])) % 97 > 60
    return values.astype(dtype) if dtype == "float32" else (values * np.iinfo(dtype).max).astype(dtype)


def lazily(image, chunks, upscaler, **options) -> np.ndarray:
    large = cvsr.dask.upscale(da.from_array(image, chunks=chunks), upscaler, **options)
    made = large.compute(scheduler="threads")
    assert made.shape == large.shape and made.dtype == large.dtype == image.dtype
    return made


@pytest.mark.parametrize(
    ("channels", "dtype", "scale"),
    [((), "uint16", 2), ((3,), "uint8", 2), ((4,), "uint8", 3), ((1,), "float32", 6), ((3,), "float32", 3)],
)
def test_every_chunking_gives_the_bits_of_the_whole_image(models, channels, dtype, scale):
    image = picture(HEIGHT, WIDTH, *channels, dtype=dtype)
    upscaler = cvsr.Upscaler(models, scale, exact=True)
    whole = upscaler(image)
    for chunks in CHUNKINGS:
        np.testing.assert_array_equal(lazily(image, (*chunks, *channels), upscaler), whole, err_msg=str(chunks))


@pytest.mark.parametrize(("channels", "scale"), [((3,), 1.5), ((4,), 5), ((), 0.5), ((4,), 0.7), ((1,), 2.1)])
def test_scales_between_those_of_the_networks(models, channels, scale):
    image = picture(HEIGHT, WIDTH, *channels)
    upscaler = cvsr.Upscaler(models, scale, exact=True)
    whole = upscaler(image)
    for chunks in CHUNKINGS[:3]:
        np.testing.assert_array_equal(lazily(image, (*chunks, *channels), upscaler), whole, err_msg=str(chunks))


def test_a_size_instead_of_a_scale(models):
    image = picture(40, 60, 3)
    upscaler = cvsr.Upscaler(models, size=(100, 90), exact=True)
    np.testing.assert_array_equal(lazily(image, (11, 20, 3), upscaler), upscaler(image))


def test_bands_of_a_resized_image_keep_to_the_configured_size(models):
    image = picture(200, 100)
    upscaler = cvsr.Upscaler(models, 1.5, exact=True)
    with dask_chunks._config.set({"array.chunk-size": "16kB"}):
        large = cvsr.dask.upscale(da.from_array(image, chunks=50), upscaler)
    assert large.chunks == ((64, 64, 64, 64, 44), (150,))
    np.testing.assert_array_equal(large.compute(scheduler="threads"), upscaler(image))


def test_colors_of_invisible_pixels_far_from_visible_ones(models):
    """What is filled in around a hole must not depend on where chunks end."""
    image = picture(260, 270, 4)
    image[20:240, 30:250, 3] = 0
    upscaler = cvsr.Upscaler(models, 2, exact=True)
    np.testing.assert_array_equal(lazily(image, (90, 101, 4), upscaler), upscaler(image))


@pytest.mark.parametrize(("shape", "chunks"), [((5, 40, 30), (2, 16, 17)), ((2, 3, 40, 30, 3), (1, 2, 20, 30, 1))])
def test_stacks_are_enlarged_image_by_image(models, shape, chunks):
    stack = picture(*shape)
    upscaler = cvsr.Upscaler(models, 2, exact=True)
    made = lazily(stack, chunks, upscaler)
    for index in np.ndindex(*shape[: 1 if len(shape) == 3 else 2]):
        np.testing.assert_array_equal(made[index], upscaler(stack[index]))


def test_a_stack_of_images_that_are_three_pixels_wide(models):
    stack = picture(6, 20, 3)
    made = lazily(stack, (2, 10, 3), cvsr.Upscaler(models, 2), channels=False)
    assert made.shape == (6, 40, 6)


def test_chunks_are_enlarged_as_they_are(models):
    large = cvsr.dask.upscale(da.zeros((50, 60), chunks=((10, 40), (25, 35)), dtype="uint8"), cvsr.Upscaler(models, 2))
    assert large.chunks == ((20, 80), (50, 70))


def test_networks_that_see_their_input_in_blocks(models):
    """Windows begin and end where blocks of ``multiple`` pixels do."""
    info = cvsr.open_model(models / "random_x2.onnx")
    spans = dask_chunks._spans((5, 6, 9), halo=3, multiple=4)
    assert [(s.start, s.stop, s.begin, s.end) for s in spans] == [(0, 5, 0, 12), (5, 11, 0, 16), (11, 20, 4, 20)]
    upscaler = cvsr.Upscaler(info, 4)
    assert dask_chunks._reach(upscaler, [2, 2]) == (5 + 3, 1)


def test_nothing_is_computed_before_it_is_asked_for(models):
    def read(_):
        raise AssertionError("read too early")

    lazy = da.zeros((64, 64), chunks=32, dtype="uint8").map_blocks(read, dtype="uint8", meta=np.empty((0, 0), "uint8"))
    large = cvsr.dask.upscale(lazy, cvsr.Upscaler(models, 1.5))
    assert large.shape == (96, 96)
    with pytest.raises(AssertionError, match="read too early"):
        large.compute(scheduler="threads")


def test_from_zarr_to_zarr(models, tmp_path):
    pytest.importorskip("zarr", reason="needs the extra dask")
    image = picture(100, 90, 3)
    upscaler = cvsr.Upscaler(models, 2, exact=True)
    da.from_array(image, chunks=(40, 40, 3)).to_zarr(str(tmp_path / "in.zarr"))
    cvsr.dask.upscale(da.from_zarr(str(tmp_path / "in.zarr")), upscaler).to_zarr(str(tmp_path / "out.zarr"))
    made = da.from_zarr(str(tmp_path / "out.zarr"))
    assert made.chunks[:2] == ((80, 80, 40), (80, 80, 20))
    np.testing.assert_array_equal(made.compute(scheduler="threads"), upscaler(image))


def test_models_that_need_the_whole_image_say_so(tmp_path):
    image = picture(40, 50, 3)
    for name in ("bicubic", "unbounded"):
        upscaler = cvsr.Upscaler(name, 2) if name == "bicubic" else unbounded(tmp_path)
        np.testing.assert_array_equal(lazily(image, (40, 50, 3), upscaler), upscaler(image))
        with pytest.raises(ModelError, match=r"array\.rechunk\(\{0: -1, 1: -1\}\)"):
            lazily(image, (20, 50, 3), upscaler)


def unbounded(folder: Path) -> cvsr.Upscaler:
    path = folder / "far_x2.onnx"
    path.write_bytes(onnxlite.conv_chain(4, 1, 2, props={"cvsr.radius": "global"}))
    return cvsr.Upscaler(path, 2)


@pytest.mark.parametrize(
    ("array", "hint"),
    [
        (np.zeros((8, 8), np.uint8), "dask.array.from_array"),
        (da.zeros((8, 8), dtype="int64"), "uint8"),
        (da.zeros(8, dtype="uint8"), "(..., H, W)"),
        (da.zeros((0, 8), dtype="uint8"), "empty"),
        (da.zeros((8, 8), dtype="uint8")[da.zeros(8, dtype=bool)], "compute_chunk_sizes"),
    ],
)
def test_arrays_that_are_not_images_raise_at_once(array, hint):
    with pytest.raises(ImageError, match=re.escape(hint)):
        cvsr.dask.upscale(array, cvsr.Upscaler("cvsr-small", 2))


def test_the_upscaler_cannot_be_given_by_name():
    with pytest.raises(OptionError, match=r"cvsr\.Upscaler, not str"):
        cvsr.dask.upscale(da.zeros((8, 8), dtype="uint8"), "cvsr-small")


def test_upscalers_pickle_and_each_process_makes_one(models):
    upscaler = cvsr.Upscaler(models, 3, exact=True, tile=32)
    image = picture(30, 40, 3)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(upscaler))(image), upscaler(image))
    data = shipping.pack(upscaler, 2)
    assert shipping.unpacked(data) is shipping.unpacked(bytes(data))
    assert shipping.unpacked(data)(image).shape == (60, 80, 3)
    assert upscaler.scale == 3, "the caller's is as it was"


def test_models_are_found_where_they_arrive(models, tmp_path):
    upscaler = cvsr.Upscaler("cvsr-small", 2)
    here = upscaler.info.path
    upscaler.models.update({scale: replace(info, path=tmp_path / "x") for scale, info in upscaler.models.items()})
    arrived = shipping.unpacked(shipping.pack(upscaler))
    assert arrived.info.path == here, "by its bytes, in this machine's cvsr"
    assert arrived(picture(8, 8, 3)).shape == (16, 16, 3), "and it is that file which is loaded"
    own = tmp_path / "own_x2.onnx"
    own.write_bytes((models / "random_x2.onnx").read_bytes())
    data = shipping.pack(cvsr.Upscaler(own, 2))
    own.write_bytes((models / "random_x3.onnx").read_bytes())
    with pytest.raises(ModelNotFoundError, match="put the model file into a shared folder"):
        shipping.unpacked(data)


def test_without_dask_it_says_what_to_type():
    code = """
import sys
sys.modules["dask"] = sys.modules["dask.array"] = None
try:
    import cvsr.dask
except Exception as error:
    print(type(error).__name__, error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("OptionError") and 'pip install ".[dask]"' in done.stdout


def test_importing_cvsr_does_not_import_dask():
    code = "import sys, cvsr; cvsr.Upscaler; sys.exit('dask' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
