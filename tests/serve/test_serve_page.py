"""The server's page in Chromium: an image goes up, before and after are seen, the download is the library's result."""

from __future__ import annotations

import base64

import cv2
import numpy as np
import pytest
from kit import chromium

for name in ("starlette", "uvicorn", "python_multipart"):
    pytest.importorskip(name, reason="needs the extra serve")

from kit.serving import serving

import cvsr


@pytest.fixture(scope="module")
def server():
    with serving() as server:
        yield server


@pytest.fixture(scope="module")
def browser():
    with chromium.running() as browser:
        yield browser


@pytest.fixture(scope="module")
def cat(photo, tmp_path_factory):
    path = tmp_path_factory.mktemp("upload") / "cat <b>.png"
    cv2.imwrite(str(path), photo("chelsea")[:200, :300])
    return path


@pytest.fixture
def opened(browser, server):
    with chromium.tab(browser) as tab:
        tab.goto(server.url)
        chromium.until(tab, "document.getElementById('model').options.length > 0")
        yield tab


def wait(tab) -> None:
    chromium.until(tab, "!document.getElementById('download').hidden")


def test_an_upload_is_shown_and_its_download_is_the_librarys_result(opened, cat):
    opened.set_input_files("#file", str(cat))
    wait(opened)
    with opened.expect_download() as download:
        opened.click("#download")
    assert download.value.suggested_filename.endswith("_x2.png")
    np.testing.assert_array_equal(cv2.imread(str(download.value.path())), cvsr.upscale(cv2.imread(str(cat)), 2))
    assert "600x400 pixels by cvsr-small" in opened.text_content("#status")
    sizes = opened.eval_on_selector_all(".stage img", "all => all.map(e => [e.naturalWidth, e.naturalHeight])")
    assert sizes == [[600, 400]] * 2


def test_the_divider_moves(opened, cat):
    opened.set_input_files("#file", str(cat))
    wait(opened)
    box = opened.locator(".stage").bounding_box()
    middle = box["y"] + box["height"] / 2
    opened.mouse.move(box["x"] + box["width"] / 2, middle)
    opened.mouse.down()
    opened.mouse.move(box["x"] + box["width"] * 0.4, middle)
    opened.mouse.move(box["x"] + box["width"] * 0.2, middle)
    opened.mouse.up()
    assert opened.get_attribute(".divider", "aria-valuenow") == "20"
    assert "bicubic" in opened.get_attribute(".divider", "aria-valuetext")


def test_another_scale_and_model_do_it_again(opened, cat):
    opened.set_input_files("#file", str(cat))
    wait(opened)
    opened.select_option("#model", "cvsr-medium")
    chromium.until(opened, "document.getElementById('status').textContent.includes('by cvsr-medium')")
    opened.select_option("#scale", "1.5")
    chromium.until(opened, "document.getElementById('status').textContent.includes('450x300')")
    assert opened.get_attribute("#download", "download").endswith("_x1.5.png")
    assert opened.locator(".stage").count() == 1


def test_an_image_can_be_dropped(opened, cat):
    data = base64.b64encode(cat.read_bytes()).decode()
    opened.evaluate(
        """data => { const bytes = Uint8Array.from(atob(data), c => c.charCodeAt(0));
        const all = new DataTransfer();
        all.items.add(new File([bytes], "cat.png", { type: "image/png" }));
        document.getElementById("drop").dispatchEvent(
          new DragEvent("drop", { dataTransfer: all, bubbles: true, cancelable: true })) }""",
        data,
    )
    wait(opened)
    assert opened.get_attribute("#download", "download") == "cat_x2.png"


def test_what_fails_is_said(opened, tmp_path):
    (tmp_path / "cat.png").write_bytes(b"this is no picture")
    opened.set_input_files("#file", str(tmp_path / "cat.png"))
    chromium.until(opened, "document.getElementById('status').textContent.includes('it is not a PNG')")
    assert opened.locator("#status.failed").count() == 1 and opened.locator("#download").is_hidden()
    assert "415" in opened.problems.pop()  # Chromium logs it, too


def test_work_can_be_cancelled(opened, server, tmp_path):
    cv2.imwrite(str(tmp_path / "large.png"), np.random.default_rng(0).integers(0, 256, (1500, 1500, 3), np.uint8))
    opened.select_option("#model", "cvsr-large")
    opened.set_input_files("#file", str(tmp_path / "large.png"))
    opened.click("#cancel")
    chromium.until(opened, "document.getElementById('status').textContent === 'Cancelled.'")
    opened.select_option("#model", "cvsr-small")


def test_on_a_phone_nothing_is_cut_off(browser, server, cat):
    with chromium.tab(browser, 390, 844, has_touch=True, is_mobile=True) as tab:
        tab.goto(server.url)
        chromium.until(tab, "document.getElementById('model').options.length > 0")
        tab.set_input_files("#file", str(cat))
        wait(tab)
        assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
        for control in ("#scale", "#model", "#format", "#download", ".stage"):
            box = tab.locator(control).bounding_box()
            assert box["x"] >= 0 and box["x"] + box["width"] <= 390, control
            assert box["height"] >= 24, control
