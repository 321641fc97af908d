"""Image in, image out: dtypes, channels, sizes, interpolations, options."""

import numpy as np
import pytest
from kit.pictures import PEAKS, colorful

import cvsr
from cvsr.errors import DeviceError, OptionError

KINDS = [(37, 53), (37, 53, 1), (37, 53, 3), (37, 53, 4)]


@pytest.mark.parametrize("shape", KINDS)
@pytest.mark.parametrize("dtype", PEAKS)
@pytest.mark.parametrize("scale", [2, 3, 1.5, 0.5, 4])
def test_the_result_has_the_dtype_and_channels_of_the_image(models, shape, dtype, scale):
    image = colorful(shape, dtype)
    kept = image.copy()
    result = cvsr.upscale(image, scale, model=models)
    assert result.dtype == image.dtype and result.ndim == image.ndim
    assert result.shape == (round(37 * scale), round(53 * scale), *shape[2:])
    assert (image == kept).all(), "the input is the caller's"
    assert result.flags.c_contiguous and result.flags.writeable


@pytest.mark.parametrize("dtype", PEAKS)
def test_all_dtypes_give_the_same_picture(models, dtype):
    image = colorful((37, 53), "uint8")
    other = (image * (PEAKS[dtype] / 255)).astype(dtype)
    a = cvsr.upscale(image, 2, model=models) / 255
    b = cvsr.upscale(other, 2, model=models) / PEAKS[dtype]
    assert np.abs(a - b).max() <= 0.5 / 255 + 1e-6


def test_gray_in_three_channels_stays_gray(models):
    gray = colorful((37, 53), "uint8")
    color = cvsr.upscale(np.dstack([gray] * 3), 2, model=models)
    assert np.abs(color.astype(int) - cvsr.upscale(gray, 2, model=models)[:, :, None]).max() <= 1


def test_a_view_gives_the_same_as_its_copy(models):
    image = colorful((60, 80, 3), "uint8")
    for view in (image[::2, ::3], image[:, ::-1], image.transpose(1, 0, 2), image[5:40, 7:50, ::-1]):
        assert (cvsr.upscale(view, 2, model=models) == cvsr.upscale(view.copy(), 2, model=models)).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 9, 3), (9, 1, 4), (2, 2, 1)])
@pytest.mark.parametrize("scale", [2, 3, 1.3])
def test_tiny_images(models, shape, scale):
    assert cvsr.upscale(colorful(shape, "uint8"), scale, model=models).shape[:2] == tuple(
        max(1, round(n * scale)) for n in shape[:2]
    )


def test_color_under_transparent_pixels_does_not_show(models):
    image = colorful((37, 53, 4), "uint8")
    image[:, :20, 3], image[:, 20:, 3] = 255, 0
    other = image.copy()
    other[:, 20:, :3] = 255 - other[:, 20:, :3]
    a, b = (cvsr.upscale(x, 2, model=models) for x in (image, other))
    assert (a[:, :40] == b[:, :40]).all() and (a[:, :, 3] == b[:, :, 3]).all()
    for name in ("bicubic", "lanczos"):
        a, b = (cvsr.upscale(x, 2, model=name) for x in (image, other))
        assert (a[:, :40] == b[:, :40]).all()


def test_size_may_change_the_aspect_ratio(models):
    assert cvsr.upscale(colorful((37, 53, 3), "uint8"), size=(200, 50), model=models).shape == (50, 200, 3)


@pytest.mark.parametrize("name", ["nearest", "bilinear", "bicubic", "lanczos", "area"])
@pytest.mark.parametrize("dtype", PEAKS)
def test_an_interpolation_is_used_like_a_model(name, dtype):
    image = colorful((20, 30, 3), dtype)
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
def test_bad_options_raise_at_construction(options, error, hint):
    with pytest.raises(error) as caught:
        cvsr.Upscaler(**{"model": "bicubic", **options})
    assert hint in str(caught.value)


def test_ran_on_reports_device_and_engine(models):
    upscaler = cvsr.Upscaler(models, 2)
    ran = upscaler.ran_on
    assert ran.device == "cpu" and ran.requested == "auto" and ran.engine in ("classic", "new")
    assert upscaler.info.scale == 2 and upscaler.info.radius == 2 + 2 + 1 and "cpu" in str(ran)


def test_warmup_loads_every_network_that_a_call_needs(models):
    upscaler = cvsr.Upscaler(models, 6)
    upscaler.warmup()
    assert sorted(upscaler._execution._networks) == [2, 3]
