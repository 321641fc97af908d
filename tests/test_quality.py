"""The bundled models are as good as promised: luma PSNR in dB on Set5 and Set14, 8-bit images in and out."""

import pytest

import cvsr
from cvsr import evaluate
from cvsr.modelfiles import zoo

FLOORS = {
    "cvsr-small": {2: (37.3, 32.9), 3: (33.2, 29.5), 4: (31.1, 27.9)},
    "cvsr-medium": {2: (37.62, 33.15), 3: (33.6, 29.8), 4: (31.45, 28.1)},
    "cvsr-large": {2: (37.75, 33.25), 3: (33.7, 29.85), 4: (31.5, 28.15)},
    "lapsrn": {2: (37.2, 32.8), 4: (31.0, 27.9)},
    "drcn": {2: (37.2, 32.8)},
    "drrn": {2: (37.2, 32.8)},
    "srdensenet": {2: (37.2, 32.8)},
    "srresnet": {2: (37.1, 32.7)},
    "srgan": {4: (30.3, 27.5)},
    "esrgan": {4: (30.2, 27.4)},
    "carn": {2: (37.3, 32.9)},
    "carn-m": {2: (37.2, 32.8)},
    "edsr": {2: (37.3, 32.9)},
    "espcn": {2: (36.8, 32.5), 3: (32.9, 29.4), 4: (30.5, 27.5)},
    "mdsr": {2: (37.2, 32.8)},
    "msrn": {2: (37.2, 32.8)},
    "rdn": {2: (37.2, 32.8)},
    "srcnn": {2: (36.6, 32.4)},
    "vdsr": {2: (37.2, 32.8)},
    "fsrcnn": {2: (36.9, 32.5), 3: (33.0, 29.3), 4: (30.5, 27.5)},
}


@pytest.mark.parametrize(("family", "scale"), [(family, scale) for family in FLOORS for scale in FLOORS[family]])
@pytest.mark.parametrize("dataset", ["Set5", pytest.param("Set14", marks=pytest.mark.long)])
def test_models_reach_their_floors_and_their_index(data_root, family, scale, dataset):
    found = evaluate.evaluate(cvsr.Upscaler(family, scale), data_root / "images" / dataset, scale).psnr
    assert found >= dict(zip(("Set5", "Set14"), FLOORS[family][scale], strict=True))[dataset]
    assert found == pytest.approx(zoo.families()[family][scale].psnr[dataset], abs=0.01)


# The best of ESPCN, FSRCNN and LapSRN in the table of OpenCV's own benchmark: images that cv2.resize made small
PUBLISHED = [("Set5/butterfly", 2, 29.03), ("Set14/comic", 4, 20.09), ("Set14/monarch", 4, 26.73)]


@pytest.mark.parametrize(("image", "scale", "published"), PUBLISHED)
def test_images_that_opencv_made_small_come_out_better_than_its_benchmark_says(data_root, image, scale, published):
    original = evaluate.read_image(data_root / "images" / f"{image}.png")
    reference, small = evaluate.degrade(original, scale, "opencv")
    made = cvsr.Upscaler("cvsr-linear", scale)(small)
    assert evaluate.compare(reference, made, scale, "opencv")[0] > published
