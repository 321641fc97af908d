"""Compare models on one photo: a page to look at, and a plot for a paper."""

from pathlib import Path

from skimage import data

from cvsr.compare.comparison import compare
from cvsr.compare.page import page
from cvsr.compare.plot import figure

photo = data.astronaut()[:, :, ::-1]  # BGR, as in OpenCV
comparison = compare(None, ["cvsr-small", "cvsr-medium"], 3, reference=photo, title="astronaut")
for shown in comparison.shown:
    print(f"{shown.name:12} " + ("" if shown.psnr is None else f"{shown.psnr:.2f} dB, SSIM {shown.ssim:.4f}"))
Path("astronaut_compare.html").write_text(page(comparison), encoding="utf-8")
figure(comparison).savefig("astronaut_compare.png")  # in a notebook, figure(comparison) alone shows it
