"""`cvsr eval`: the two protocols, step by step and against known numbers, and the command's table and JSON."""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path

import numpy as np
import pytest

from cvsr import evaluate
from cvsr._cv2 import cv2
from cvsr.cli import evaluate as cli_evaluate
from cvsr.errors import FileError, ImageError, OptionError
from cvsr.image import metrics
from cvsr.image.resample import resize, to_uint8

# What LANCZOS4 gives by the literature's protocol: OpenCV alone, so every machine must give it. (scale, data set): PSNR
LANCZOS4 = {(3, "Set5"): 30.91, (4, "Set5"): 28.89, (3, "Set14"): 27.98, (4, "Set14"): 26.36}


def lanczos4(scale: int):
    def lanczos(image: np.ndarray) -> np.ndarray:
        return cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_LANCZOS4)

    return lanczos


def write(path: Path, image: np.ndarray) -> None:
    path.write_bytes(cv2.imencode(path.suffix, image)[1].tobytes())


@pytest.fixture
def folder(tmp_path, photo) -> Path:
    """A data set of a color image of odd size, a gray one, and what is no image; with spaces and umlauts."""
    data = tmp_path / "kleine Bilder ü"
    data.mkdir()
    write(data / "b color.png", photo("astronaut")[:75, 100:201])
    write(data / "a gräy.PNG", photo("camera")[50:130, 60:150])
    (data / "README.txt").write_text("no image")
    (data / "sub").mkdir()
    return data


def run(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    parser = argparse.ArgumentParser()
    cli_evaluate.add_arguments(parser)
    assert cli_evaluate.main(parser.parse_args(arguments)) == 0
    return capsys.readouterr().out


def test_literature_step_by_step(folder, photo):
    result = evaluate.evaluate(lanczos4(3), folder, 3)
    gray, color = result.images
    assert (gray.name, color.name) == ("a gräy.PNG", "b color.png")

    high = photo("astronaut")[:75, 100:199]  # 75x101 cropped to a multiple of 3
    low = to_uint8(resize(high, (33, 25)))
    up = lanczos4(3)(low)
    first, second = (metrics.studio_luma(image)[3:-3, 3:-3] for image in (high, up))
    assert color.psnr == pytest.approx(metrics.psnr(first, second), abs=1e-9)
    assert color.ssim == pytest.approx(metrics.ssim(first, second), abs=1e-12)

    high = photo("camera")[50:128, 60:150]
    up = lanczos4(3)(to_uint8(resize(high, (30, 26))))
    assert gray.psnr == pytest.approx(
        metrics.psnr(*(metrics.studio_luma(image)[3:-3, 3:-3] for image in (high, up))), abs=1e-9
    )

    assert result.psnr == pytest.approx((gray.psnr + color.psnr) / 2)
    assert result.ssim == pytest.approx((gray.ssim + color.ssim) / 2)
    assert result.seconds == pytest.approx(gray.seconds + color.seconds)
    assert (result.model, result.scale, result.dataset, result.protocol) == ("lanczos", 3, folder.name, "literature")


def test_opencv_step_by_step(folder, photo):
    color = evaluate.evaluate(lanczos4(2), folder, 2, "opencv").images[1]
    high = np.ascontiguousarray(photo("astronaut")[:74, 100:200])
    low = cv2.resize(high, (50, 37))  # INTER_LINEAR is cv2.resize's default
    assert color.psnr == pytest.approx(cv2.PSNR(high, lanczos4(2)(low)), abs=1e-9)


def test_the_protocols_differ(folder):
    literature, opencv = (evaluate.evaluate(lanczos4(4), folder, 4, p) for p in evaluate.PROTOCOLS)
    assert abs(literature.psnr - opencv.psnr) > 0.3


def test_the_upscaler_gets_8_bits_of_the_files_kind(folder):
    seen = []

    def spy(image: np.ndarray) -> np.ndarray:
        seen.append((image.dtype, image.shape, image.flags.c_contiguous))
        return lanczos4(2)(image)

    evaluate.evaluate(spy, folder, 2)
    assert seen == [(np.uint8, (40, 45), True), (np.uint8, (37, 50, 3), True)]


def test_alpha_and_16_bits_are_read_as_8_bit_color(tmp_path, photo):
    bgra = np.dstack([photo("astronaut")[:20, :30], np.full((20, 30), 128, np.uint8)])
    write(tmp_path / "bgra.png", bgra)
    write(tmp_path / "wide.png", photo("astronaut")[:20, :30].astype(np.uint16) * 257)
    for name in ("bgra.png", "wide.png"):
        image = evaluate.read_image(tmp_path / name)
        assert image.dtype == np.uint8
        assert np.array_equal(image, bgra[..., :3])


def test_progress_gets_every_image(folder):
    seen = []
    result = evaluate.evaluate(lanczos4(2), folder, 2, progress=seen.append)
    assert tuple(seen) == result.images


def test_a_perfect_result_is_infinite_and_valid_json(tmp_path):
    write(tmp_path / "flat.png", np.full((40, 40, 3), 77, np.uint8))
    for protocol in evaluate.PROTOCOLS:
        result = evaluate.evaluate(lanczos4(2), tmp_path, 2, protocol)
        assert result.psnr == math.inf
        assert result.ssim == pytest.approx(1.0)
        fields = json.loads(json.dumps(cli_evaluate.to_json(result, per_image=True), allow_nan=False))
        assert fields["psnr"] is None
        assert fields["per_image"][0]["psnr"] is None


def test_wrong_size_is_an_error_not_a_number(folder):
    with pytest.raises(ImageError, match="scale"):
        evaluate.evaluate(lanczos4(3), folder, 2)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda path: evaluate.evaluate(lanczos4(2), path / "absent", 2), FileError),
        (lambda path: evaluate.evaluate(lanczos4(2), path, 2), FileError),  # an empty folder
        (lambda path: evaluate.evaluate(lanczos4(2), path, 2, "ntire"), OptionError),
        (lambda path: evaluate.evaluate(lanczos4(2), path, 0), OptionError),
        (lambda path: evaluate.degrade(np.zeros((3, 9), np.uint8), 4), ImageError),
    ],
    ids=["no-folder", "no-images", "protocol", "scale", "smaller-than-scale"],
)
def test_errors(tmp_path, call, error):
    with pytest.raises(error):
        call(tmp_path)


@pytest.mark.parametrize("content", [b"", b"no picture at all"], ids=["empty", "text"])
def test_a_broken_image_is_named(tmp_path, content):
    (tmp_path / "broken.png").write_bytes(content)
    with pytest.raises(FileError, match=r"broken\.png"):
        evaluate.evaluate(lanczos4(2), tmp_path, 2)


def test_command_prints_a_table(folder, capsys):
    lines = run(["bicubic", "lanczos", "-s", "2", "3", "--data", str(folder), "-d", "cpu"], capsys).splitlines()
    assert lines[0].split() == ["model", "scale", "dataset", "PSNR", "SSIM", "images", "seconds"]
    assert [line.split()[:2] for line in lines[1:]] == [
        ["bicubic", "2"],
        ["bicubic", "3"],
        ["lanczos", "2"],
        ["lanczos", "3"],
    ]
    expected = evaluate.evaluate(lanczos4(2), folder, 2)
    assert abs(float(lines[3].split()[-4]) - expected.psnr) <= 0.02  # "lanczos" is cv2's LANCZOS4
    assert lines[3].split()[-2] == "2"


def test_command_shows_every_image_and_json(folder, capsys):
    arguments = ["bicubic", "--data", str(folder), str(folder), "--per-image"]
    lines = run(arguments, capsys).splitlines()
    assert len(lines) == 1 + 2 * 3
    assert "a gräy.PNG" in lines[1]
    (first, second) = json.loads(run([*arguments, "--json", "--protocol", "opencv"], capsys))
    assert {key: value for key, value in first.items() if key not in ("seconds", "per_image")} == {
        key: value for key, value in second.items() if key not in ("seconds", "per_image")
    }
    assert (first["model"], first["scale"], first["dataset"], first["images"]) == ("bicubic", 2, folder.name, 2)
    assert first["protocol"] == "opencv"
    assert [image["name"] for image in first["per_image"]] == ["a gräy.PNG", "b color.png"]
    assert first["psnr"] == pytest.approx(np.mean([image["psnr"] for image in first["per_image"]]))


def test_command_takes_a_model_file_and_its_own_scale(folder, tmp_path, capsys):
    from kit.onnxlite import conv_chain

    path = tmp_path / "tiny_x3.onnx"
    path.write_bytes(conv_chain(channels=4, blocks=1, scale=3, seed=1, name="tiny_x3"))
    (result,) = json.loads(run([str(path), "--data", str(folder), "--json", "-d", "cpu"], capsys))
    assert (result["model"], result["scale"]) == ("tiny_x3", 3)
    assert 8 < result["psnr"] < 40  # random weights, but still the photo


def test_command_says_a_wrong_folder_before_it_works(folder, monkeypatch):
    monkeypatch.setattr(
        cli_evaluate, "Upscaler", lambda *_, **__: pytest.fail("worked before it looked at every folder")
    )
    parser = argparse.ArgumentParser()
    cli_evaluate.add_arguments(parser)
    args = parser.parse_args(["bicubic", "--data", str(folder), str(folder / "sub")])
    with pytest.raises(FileError, match="sub"):
        cli_evaluate.main(args)


@pytest.mark.parametrize(("scale", "dataset"), LANCZOS4, ids=lambda value: str(value))
def test_lanczos4_has_its_known_numbers(data_root, scale, dataset):
    result = evaluate.evaluate(lanczos4(scale), data_root / "images" / dataset, scale)
    assert result.psnr == pytest.approx(LANCZOS4[scale, dataset], abs=0.011)


def test_antialiased_bicubic_has_the_papers_numbers(data_root):
    """MATLAB's imresize, Set5 x2, is 33.66 dB in every paper, though those shrink the luma and not the color."""

    def bicubic(image: np.ndarray) -> np.ndarray:
        return to_uint8(resize(image, (2 * image.shape[1], 2 * image.shape[0])))

    result = evaluate.evaluate(bicubic, data_root / "images" / "Set5", 2)
    assert result.psnr == pytest.approx(33.66, abs=0.03)
    assert result.ssim == pytest.approx(0.9299, abs=0.002)
