"""Convert your own Keras model into a file that OpenCV can run. Needs the extra "convert"."""

import keras
import numpy as np

import cvsr
from cvsr_converters import convert

# stands in for a trained model: RGB in 0..1, x2; it simply repeats each pixel four times
image = keras.Input((None, None, 3))
model = keras.Model(image, keras.ops.depth_to_space(keras.layers.Conv2D(12, 3, padding="same")(image), 2))
kernel = np.zeros((3, 3, 3, 12))
kernel[1, 1] = np.tile(np.eye(3), 4)
model.set_weights([kernel, np.zeros(12)])
model.save("model.keras")

# convert() detects color and range; here they are given, because this network works alike in any range
report = convert("model.keras", "model_x2.onnx", color="rgb", range=1)
print(report.text())
print(cvsr.open_model("model_x2.onnx"))
large = cvsr.upscale(np.full((64, 64, 3), 200, np.uint8), 2, model="model_x2.onnx")
print(large.shape, large.mean())
