"""The ESRGAN tutorial of TensorFlow Hub step by step, without TensorFlow. Needs the extra plot."""

import time

import cv2
import matplotlib.pyplot as plt
from skimage import data

import cvsr
from cvsr.image import metrics, resample

MODEL, SCALE = "esrgan", 4
cv2.imwrite("photo.png", cv2.cvtColor(data.astronaut()[:256, 96:352], cv2.COLOR_RGB2BGR))  # or your own photo


def preprocess_image(path):
    image = cv2.imread(path)  # (H, W, 3), BGR, uint8; the tutorial needs a batch of floats here
    height, width = (side - side % SCALE for side in image.shape[:2])
    return image[:height, :width]


def plot_image(image, title):
    plt.figure()
    plt.imshow(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
    plt.axis("off")
    plt.title(f"{title} {image.shape}")
    plt.savefig(f"{title}.png")  # or plt.show()


original, model = preprocess_image("photo.png"), cvsr.Upscaler(MODEL, SCALE)
start = time.perf_counter()
large = model(original)
print(f"{original.shape} -> {large.shape} in {time.perf_counter() - start:.2f} s")

small = resample.to_uint8(resample.resize(original, (original.shape[1] // SCALE, original.shape[0] // SCALE)))
restored = model(small)
print(f"PSNR after reducing and enlarging again: {metrics.psnr(restored, original):.2f} dB")

for title, image in {"before": original, "after": large, "shrunk": small, "restored": restored}.items():
    plot_image(image, title)
