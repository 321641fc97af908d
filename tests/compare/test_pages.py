"""The page that compares, in Chromium: the divider, the zoom, the crops; with mouse, keys and fingers."""

from __future__ import annotations

import re

import cv2
import numpy as np
import pytest
from kit import chromium

from cvsr.compare.comparison import compare
from cvsr.compare.page import page

WIDTH, HEIGHT = 320, 240  # of the results


@pytest.fixture(scope="module")
def file(photo, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "cat.html"
    made = compare(None, ["cvsr-small", "bilinear"], 2, reference=photo("chelsea")[:HEIGHT, :WIDTH], title="cat.png")
    path.write_text(page(made), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def browser():
    with chromium.running() as browser:
        yield browser


@pytest.fixture
def opened(browser, file):
    with chromium.tab(browser) as tab:
        tab.goto(file.as_uri())
        yield tab


def divider_at(tab) -> float:
    """Where the divider is, in percent; the picture in front must be cut off just there."""
    left = float(tab.eval_on_selector(".divider", "e => parseFloat(e.style.left)"))
    cut = tab.eval_on_selector(".layer.left", "e => getComputedStyle(e).clipPath")
    assert float(re.search(r"inset\(0px ([\d.]+)%|inset\(0(?:px)?\)|$", cut)[1] or 0) == pytest.approx(100 - left)
    assert int(tab.get_attribute(".divider", "aria-valuenow")) == round(left)
    return left


def transforms(tab, selector: str) -> set[str]:
    return set(tab.eval_on_selector_all(f"{selector} img", "all => all.map(e => e.style.transform)"))


def zoom(tab, selector: str) -> float:
    (only,) = transforms(tab, selector)  # all of one view are at one place
    return float(re.search(r"scale\(([\d.e-]+)\)", only)[1])


def drag(tab, x0, y0, x1, y1) -> None:
    tab.mouse.move(x0, y0)
    tab.mouse.down()
    tab.mouse.move((x0 + x1) / 2, (y0 + y1) / 2)
    tab.mouse.move(x1, y1)
    tab.mouse.up()


def test_the_divider_moves_by_mouse_and_by_keys(opened):
    box = opened.locator(".stage").bounding_box()
    assert divider_at(opened) == 50
    middle = box["y"] + box["height"] / 2
    drag(opened, box["x"] + box["width"] / 2, middle, box["x"] + box["width"] / 4, middle)
    assert divider_at(opened) == pytest.approx(25, abs=0.5)
    drag(opened, box["x"] + 300, box["y"] + 40, box["x"] + box["width"] * 0.75, box["y"] + 40)  # anywhere
    assert divider_at(opened) == pytest.approx(75, abs=0.5)
    opened.focus(".divider")
    for key, at in (("Home", 0), ("PageUp", 10), ("ArrowRight", 12), ("ArrowLeft", 10), ("End", 100)):
        opened.keyboard.press(key)
        assert divider_at(opened) == at


def test_what_is_seen_is_the_result_pixel_by_pixel(opened, photo):
    """Left of the divider one result, right of it the other: read from the screen at 1:1."""
    made = compare(None, ["cvsr-small", "bilinear"], 2, reference=photo("chelsea")[:HEIGHT, :WIDTH])
    images = {shown.name: shown.image for shown in made.shown}
    opened.select_option("select[name=left]", label="bilinear")
    opened.select_option("select[name=right]", label="original")
    opened.eval_on_selector(".stage", "e => Object.assign(e.style, {width: '320px', height: '240px'})")
    opened.eval_on_selector(".frame", "e => { e.style.visibility = 'hidden' }")
    chromium.until(opened, "document.querySelector('.layer.left img').style.transform.endsWith('scale(1)')")
    box = opened.locator(".stage").bounding_box()
    assert (box["width"], box["height"]) == (WIDTH, HEIGHT)
    shot = cv2.imdecode(np.frombuffer(opened.screenshot(clip=box), np.uint8), cv2.IMREAD_COLOR)
    inside = slice(40, HEIGHT - 20)  # below the names
    for name, columns in (("bilinear", slice(20, 130)), ("original", slice(190, WIDTH - 20))):
        difference = np.abs(shot[inside, columns].astype(int) - images[name][inside, columns])
        assert difference.max() <= 1, name


def test_any_two_results_can_be_chosen_and_swapped(opened):
    options = opened.eval_on_selector_all("select[name=left] option", "all => all.map(e => e.textContent)")
    assert options == ["bicubic", "cvsr-small", "bilinear", "original"]
    opened.select_option("select[name=right]", label="original")
    opened.click("button[aria-label='Swap left and right']")
    assert opened.text_content(".tag.left") == "original" and opened.text_content(".tag.right") == "bicubic"
    shots = opened.eval_on_selector_all(".shot img", "all => all.map(e => e.src)")
    assert opened.get_attribute(".layer.left img", "src") == shots[3]
    assert opened.get_attribute(".layer.right img", "src") == shots[0]


def test_wheel_zooms_both_sides_at_the_pointer(opened):
    box = opened.locator(".stage").bounding_box()
    before = zoom(opened, ".stage")
    opened.mouse.move(box["x"] + box["width"] / 2 + 90, box["y"] + 100)
    under = "([x, y]) => { const b = document.querySelector('.stage img').getBoundingClientRect();"
    under += f"return [(x - b.left) / b.width * {WIDTH}, (y - b.top) / b.height * {HEIGHT}] }}"
    point = [box["x"] + box["width"] / 2 + 90, box["y"] + 100]
    at = opened.evaluate(under, point)
    opened.mouse.wheel(0, -600)
    chromium.until(opened, f"parseFloat(document.querySelector('output').textContent) > {before * 150}")
    assert zoom(opened, ".stage") > 1.5 * before
    assert opened.evaluate(under, point) == pytest.approx(at, abs=0.2)
    place = transforms(opened, ".stage")
    drag(opened, point[0], point[1], point[0] - 60, point[1] - 30)
    assert transforms(opened, ".stage") != place and divider_at(opened) == 50
    opened.click("button:text-is('Fit')")
    assert zoom(opened, ".stage") == pytest.approx(before)


def test_keys_zoom_and_move(opened):
    opened.focus(".stage")
    before = zoom(opened, ".stage")
    opened.keyboard.press("+")
    assert zoom(opened, ".stage") == pytest.approx(1.25 * before)
    opened.keyboard.press("1")
    assert zoom(opened, ".stage") == pytest.approx(max(1, before))
    for _ in range(8):
        opened.keyboard.press("+")
    place = transforms(opened, ".stage")
    opened.keyboard.press("ArrowRight")
    assert transforms(opened, ".stage") != place
    opened.keyboard.press("0")
    assert zoom(opened, ".stage") == pytest.approx(before)


def test_the_crops_keep_in_step_and_a_click_moves_them(opened):
    assert zoom(opened, ".crops") > 1  # one transform for all of them, and close
    place = transforms(opened, ".crops")
    box = opened.locator(".crops .shot").nth(1).bounding_box()
    opened.mouse.move(0, 0)
    opened.locator(".crops .shot").nth(1).scroll_into_view_if_needed()
    box = opened.locator(".crops .shot").nth(1).bounding_box()
    drag(opened, box["x"] + 100, box["y"] + 100, box["x"] + 60, box["y"] + 130)
    moved = transforms(opened, ".crops")
    assert len(moved) == 1 and moved != place
    frame = opened.eval_on_selector(".frame", "e => [e.style.left, e.style.top]")
    opened.evaluate("scrollTo(0, 0)")
    stage = opened.locator(".stage").bounding_box()
    opened.mouse.click(stage["x"] + stage["width"] / 2 + 30, stage["y"] + 60)
    assert transforms(opened, ".crops") != moved
    assert opened.eval_on_selector(".frame", "e => [e.style.left, e.style.top]") != frame


def test_fingers_pinch_and_drag(browser, file):
    with chromium.tab(browser, 390, 844, has_touch=True, is_mobile=True, device_scale_factor=2) as tab:
        tab.goto(file.as_uri())
        assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
        box = tab.locator(".stage").bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] * 0.75
        touch = tab.context.new_cdp_session(tab)

        def send(kind, *points):
            named = [{"x": px, "y": py, "id": number} for number, (px, py) in enumerate(points)]
            touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": named})

        before = zoom(tab, ".stage")
        send("touchStart", (x - 30, y), (x + 30, y))
        for step in range(1, 6):
            send("touchMove", (x - 30 - 12 * step, y), (x + 30 + 12 * step, y))
        send("touchEnd")
        chromium.until(tab, f"parseFloat(document.querySelector('output').textContent) > {300 * before}")
        tab.click("button:text-is('Fit')")
        send("touchStart", (x, y))
        for step in range(1, 6):
            send("touchMove", (x - 20 * step, y))
        send("touchEnd")
        assert divider_at(tab) < 40


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_in_light_and_dark(browser, file, scheme):
    luminance = """selector => { const c = getComputedStyle(document.querySelector(selector));
      const part = text => text.match(/[\\d.]+/g).slice(0, 3).map(v => v / 255).map(
        v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
      const light = text => { const [r, g, b] = part(text); return 0.2126 * r + 0.7152 * g + 0.0722 * b };
      return [light(c.color), light(getComputedStyle(document.body).backgroundColor)] }"""
    with chromium.tab(browser, color_scheme=scheme) as tab:
        tab.goto(file.as_uri())
        for selector in ("h1", ".soft", "td.best", "th"):
            one, two = sorted(tab.evaluate(luminance, selector))
            assert (two + 0.05) / (one + 0.05) >= 4.5, selector


def test_without_javascript_the_results_are_there(browser, file):
    with chromium.tab(browser, java_script_enabled=False) as tab:
        tab.goto(file.as_uri())
        assert tab.locator("noscript p").count() == 1
        assert tab.locator(".shot img").first.bounding_box()["width"] > 100
