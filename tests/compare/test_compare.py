"""The page that compares models: what is measured, what the page holds, what the command writes and refuses."""

from __future__ import annotations

import base64
import json
import re
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest

import cvsr
from cvsr import evaluate
from cvsr.cli.verbs import main
from cvsr.compare import comparison
from cvsr.compare.comparison import compare
from cvsr.compare.page import duration, encode, megabytes, page
from cvsr.errors import ImageError, OptionError


class Page(HTMLParser):
    """What a page holds: tags with their attributes, in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    def pictures(self) -> dict[str, np.ndarray]:
        decoded = {}
        for image in self.all("img"):
            kind, _, data = image["src"].partition(";base64,")
            assert kind in ("data:image/webp", "data:image/png")
            decoded[image["alt"]] = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_UNCHANGED)
        return decoded


@pytest.fixture(scope="module")
def cat(photo) -> np.ndarray:
    return photo("chelsea")[:181, :241]


@pytest.fixture(scope="module")
def measured(cat):
    return compare(None, ["cvsr-small", "bilinear"], 2, reference=cat, title="cat <&> dog.png")


def test_a_reference_alone_is_measured_as_cvsr_eval_does(measured, cat, tmp_path):
    cv2.imwrite(str(tmp_path / "cat.png"), cat)
    for shown in measured.shown[:-1]:
        expected = evaluate.evaluate(cvsr.Upscaler(shown.name, 2), tmp_path, 2).images[0]
        assert (shown.psnr, shown.ssim) == (expected.psnr, expected.ssim)
    assert measured.input_size == (120, 90)


def test_bicubic_comes_first_and_the_original_last(measured):
    assert [shown.name for shown in measured.shown] == ["bicubic", "cvsr-small", "bilinear", "original"]
    again = compare(measured.shown[0].image, ["bicubic", "auto", "cvsr-small"])
    assert [shown.name for shown in again.shown] == ["bicubic", "cvsr-small"]


def test_results_are_those_of_the_upscaler(cat):
    made = compare(cat, ["cvsr-small"], 1.5)
    np.testing.assert_array_equal(made.shown[1].image, cvsr.upscale(cat, 1.5))
    assert made.shown[1].psnr is None and made.shown[1].seconds > 0 and "OpenCV" in made.shown[1].ran_on


def test_without_models_all_bundled_ones_of_the_scale(cat):
    names = [shown.name for shown in compare(cat[:40, :40], scale=3).shown]
    assert names[0] == "bicubic" and {"cvsr-small", "cvsr-medium"} <= set(names)
    assert comparison.bundled(1.3) == ["cvsr-small"]


@pytest.mark.parametrize("kind", ["gray", "16 bits", "float", "alpha", "one channel"])
def test_every_kind_of_image_has_a_page(kind, cat):
    small = cat[:48, :64]
    image = {
        "gray": small[:, :, 0],
        "16 bits": small.astype(np.uint16) * 257,
        "float": small.astype(np.float32) / 255,
        "alpha": np.dstack((small, np.arange(64, dtype=np.uint8) * np.ones((48, 1), np.uint8) * 4)),
        "one channel": small[:, :, :1],
    }[kind]
    made = compare(image, ["cvsr-small"], reference=cv2.resize(small, (128, 96)))
    pictures = Page(page(made)).pictures()
    assert list(pictures) == ["bicubic", "cvsr-small", "original"]
    for shown in made.shown:
        expected = shown.image if shown.image.ndim == 3 else cv2.cvtColor(shown.image, cv2.COLOR_GRAY2BGR)
        decoded = pictures[shown.name]
        np.testing.assert_array_equal(decoded if decoded.ndim == 3 else expected, expected)


def test_the_page_needs_nothing_but_itself(measured):
    html = page(measured)
    found = Page(html)
    for _, attributes in found.tags:
        assert not attributes.keys() & {"href", "src", "srcset", "action"} or str(
            attributes.get("src") or attributes.get("href")
        ).startswith("data:")
    without_pictures = re.sub(r"base64,[A-Za-z0-9+/=]+", "", html)
    assert not re.search(r"https?://|url\(|@import|fetch\(|XMLHttp", without_pictures)
    policy = next(meta["content"] for meta in found.all("meta") if "http-equiv" in meta)
    assert policy.startswith("default-src 'none'; img-src data:;") and "unsafe" not in policy


def test_names_are_escaped(measured):
    html = page(measured)
    assert "cat &lt;&amp;&gt; dog.png" in html and "cat <&" not in html


def test_the_page_names_its_controls(measured):
    found = Page(page(measured))
    assert all(image.get("alt") for image in found.all("img"))
    assert next(attributes["lang"] for attributes in found.all("html")) == "en"
    facts = json.loads(re.search(r'id="facts">(.*?)</script>', page(measured))[1])
    assert facts["width"] == 240 and facts["right"] == 1


def test_the_numbers_stand_in_the_page(measured):
    html = page(measured)
    best = max(measured.shown[:-1], key=lambda shown: shown.psnr)
    assert f'best">{best.psnr:.2f} dB' in html and f'best">{best.ssim:.4f}' in html
    assert "shrunk by 2" in html and "without a border of 2 pixels" in html


def test_a_perfect_result_is_called_identical():
    flat = np.full((32, 32, 3), 90, np.uint8)
    made = compare(None, ["nearest"], reference=flat)
    assert made.shown[0].psnr == np.inf and "identical" in page(made)


def test_what_is_too_large_is_cropped_to_where_most_detail_is(monkeypatch, photo):
    monkeypatch.setattr(comparison, "LARGEST", 10_000)
    image = np.full((200, 200, 3), 128, np.uint8)
    image[130:180, 10:60] = photo("chelsea")[100:150, 100:150]
    made = compare(image, ["bilinear"], 2, reference=cv2.resize(image, (400, 400), interpolation=cv2.INTER_NEAREST))
    width, height = made.input_size
    assert width * height <= 2500 and made.shown[0].size == (2 * width, 2 * height)
    assert "200x200" in made.notes[0] and "cropped" not in page(compare(image[:20, :20], ["bilinear"]))
    assert made.shown[-1].image.std() > 5
    alone = compare(None, ["bilinear"], 3, reference=image)
    assert alone.shown[-1].image.std() > 5 and alone.shown[-1].size[0] % 3 == 0


def test_the_crops_begin_where_models_differ(photo):
    image = np.full((64, 64), 100, np.uint8)
    image[40:56, 8:24] = photo("camera")[100:116, 150:166]
    x, y = compare(image, ["cvsr-small"]).focus
    assert abs(x - 32) <= 48 and y >= 64


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"image": None}, OptionError, "nothing to compare"),
        ({"image": None, "reference": np.zeros((9, 9), np.uint8), "scale": 1.5}, OptionError, "whole numbers"),
        ({"image": np.zeros((9, 9), np.uint8), "reference": np.zeros((9, 9), np.uint8)}, ImageError, "18x18"),
        ({"image": np.zeros((9, 9), np.uint8), "reference": np.zeros((20, 18), np.uint8)}, ImageError, "18x20"),
    ],
)
def test_what_does_not_go_together_is_an_error(arguments, error, words):
    with pytest.raises(error, match=words):
        compare(**arguments)


def test_a_reference_with_a_cut_off_remainder_is_taken(cat):
    made = compare(cat[:20, :30], ["bilinear"], 3, reference=np.zeros((62, 91, 3), np.uint8))
    assert made.shown[-1].size == (90, 60)


def test_pictures_are_lossless_and_sizes_are_for_people(cat):
    kind, data = encode(cat)
    np.testing.assert_array_equal(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED), cat)
    assert kind in ("image/webp", "image/png")
    assert (megabytes(2_340_000), megabytes(3_400)) == ("2.3 MB", "3 kB")
    assert (duration(0.0042), duration(0.042), duration(4.2)) == ("4.2 ms", "42 ms", "4.2 s")


def test_the_command_writes_a_page_and_says_its_size(cat, tmp_path, capsys):
    cv2.imwrite(str(tmp_path / "cat.png"), cat)
    assert main(["compare", str(tmp_path / "cat.png"), "-m", "cvsr-small"]) == 0
    written = tmp_path / "cat_compare.html"
    assert "cat_compare.html: " in capsys.readouterr().out
    assert list(Page(written.read_text("utf-8")).pictures()) == ["bicubic", "cvsr-small"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cat.png", "cat_compare.html"]


def test_the_command_overwrites_only_when_told(cat, tmp_path, capsys):
    image, page_file = tmp_path / "cat.png", tmp_path / "cat.html"
    cv2.imwrite(str(image), cat)
    page_file.write_text("mine")
    arguments = ["compare", str(image), "-m", "bilinear", "-o", str(page_file)]
    assert main(arguments) == 1 and page_file.read_text() == "mine"
    assert "--overwrite" in capsys.readouterr().err
    assert main([*arguments, "--overwrite"]) == 0 and page_file.read_text("utf-8").startswith("<!doctype html>")
    before = image.read_bytes()
    assert main(["compare", str(image), "-o", str(image), "--overwrite"]) == 1 and image.read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["compare"], 2, "nothing to compare"),
        (["compare", "none.png"], 1, "no such file"),
        (["compare", "cat.png", "-m", "no-such-model"], 2, "no-such-model"),
        (["compare", "cat.png", "--plot", "plot.gif"], 2, ".pdf"),
        (["compare", "cat.png", "-o", "x.png", "--plot", "x.png"], 2, "same file"),
        (["compare", "cat.png", "--reference", "cat.png"], 1, "reference"),
    ],
)
def test_the_command_says_what_is_wrong(arguments, code, words, cat, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    cv2.imwrite("cat.png", cat)
    assert main(arguments) == code
    assert words in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["cat.png"]
