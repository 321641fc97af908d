// Upscale an image with OpenCV.js alone, by a standalone file, which takes and gives 8-bit BGR:
//   cvsr convert models/cvsr-small/cvsr-small_x2.onnx -o x2.onnx --to standalone
//   npm install && node upscale.mjs x2.onnx photo.ppm large.ppm
// Images are PPM (P6) here, because OpenCV.js reads no files; in a browser, cv.imread takes a canvas.
import { readFileSync, writeFileSync } from "node:fs";

import cv from "@techstark/opencv-js";

function upscale(model, source, target) {
  const bytes = readFileSync(source);
  const header = /^P6\s+(\d+)\s+(\d+)\s+255\s/.exec(bytes.toString("latin1", 0, 64));
  if (!header) throw new Error(`${source} is no PPM (P6) of 8 bits without a comment`);
  const [width, height] = [Number(header[1]), Number(header[2])];
  const image = cv.matFromArray(height, width, cv.CV_8UC3, bytes.subarray(header[0].length));

  cv.FS_createDataFile("/", "model.onnx", readFileSync(model), true, false, false);
  const net = cv.readNetFromONNX("/model.onnx");
  const size = new cv.Size(width, height);
  net.setInput(cv.blobFromImage(image, 1, size, new cv.Scalar(), true, false, cv.CV_32F)); // true: RGB to BGR
  const output = net.forward("").data32F; // (1, 3, H * scale, W * scale): planes of B, G and R in 0..255

  const scale = Math.round(Math.sqrt(output.length / 3 / (width * height)));
  const plane = output.length / 3;
  const pixels = new Uint8ClampedArray(output.length); // it rounds, and limits to 0..255
  for (let i = 0; i < plane; i++) {
    for (let channel = 0; channel < 3; channel++) pixels[3 * i + channel] = output[(2 - channel) * plane + i];
  }
  const head = Buffer.from(`P6\n${width * scale} ${height * scale}\n255\n`);
  writeFileSync(target, Buffer.concat([head, Buffer.from(pixels.buffer)]));
}

try {
  if (process.argv.length !== 5) throw new Error("usage: node upscale.mjs MODEL.onnx IMAGE.ppm RESULT.ppm");
  if (!cv.Mat) await new Promise((ready) => (cv.onRuntimeInitialized = ready));
  if (!cv.readNetFromONNX) throw new Error("this OpenCV.js is built without dnn");
  upscale(...process.argv.slice(2));
} catch (error) {
  console.error(error.message ?? `OpenCV.js failed: ${error}`);
  process.exitCode = 1;
}
