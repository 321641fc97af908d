"""The training loop: Muon, warm-up and cosine decay, averaged weights, resumable checkpoints, a log of PSNR."""

from __future__ import annotations

import json
import math
import queue
import threading
import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from cvsr import metrics
from cvsr_converters import networks
from cvsr_converters.training import data, start
from cvsr_converters.training.losses import LOSSES
from cvsr_converters.training.muon import Muon

AVERAGE = 0.999  # decay of the exponential moving average that is validated and kept


def luma_psnr(a, b, border):
    """Return the PSNR in dB of two full-range luma images 0..255, over studio range and less the border, as usual."""
    a, b = (16 + 219 / 255 * metrics.crop_border(image, border) for image in (a, b))
    return metrics.psnr(a, b)


class Training:
    """One run of a recipe in a folder: ``state/`` to resume from, ``log.jsonl``, the weights and ``record.json``."""

    def __init__(self, recipe, folder, cache, minutes=None, seed=0):
        self.recipe, self.folder = recipe, Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.schedule, self.scale = recipe["schedule"], recipe["network"]["scale"]
        self.minutes = minutes or self.schedule.get("minutes")
        keras.utils.set_random_seed(seed)
        options = {k: v for k, v in recipe["network"].items() if k != "name"}
        self.model = networks.build(recipe["network"]["name"], **options)
        # validation is in float32, whatever the training is in
        self.judge = networks.build(recipe["network"]["name"], **(options | {"precision": "float32"}))
        if recipe.get("start"):
            start.begin(self.model, recipe["start"], self.folder.parent)
        self.variables = self.model.trainable_variables
        self.average = [tf.Variable(v.value) for v in self.variables]
        self.optimizer = Muon(self.variables)
        self.step, self.seconds = tf.Variable(0, dtype=tf.int64), tf.Variable(0.0, dtype=tf.float64)
        state = tf.train.Checkpoint(
            model=self.model, optimizer=self.optimizer, average=self.average, step=self.step, seconds=self.seconds
        )
        self.manager = tf.train.CheckpointManager(state, str(self.folder / "state"), max_to_keep=2)
        state.restore(self.manager.latest_checkpoint)
        degradation = recipe["data"].get("degradation", "bicubic")
        self.pairs = data.prepare(recipe["data"]["folders"], self.scale, cache, degradation)
        self.seed = seed + int(self.step.numpy())
        self.tests = {name: _test_set(name, self.scale, degradation) for name in recipe["data"].get("validate", [])}
        self.forward = tf.function(self.judge, input_signature=[tf.TensorSpec((1, None, None, 1))])

    @property
    def progress(self):
        """Return how much of the run is done, 0..1: by steps, or by minutes where they run out first."""
        by_steps = int(self.step) / self.schedule["steps"]
        return max(by_steps, float(self.seconds) / 60 / self.minutes) if self.minutes else by_steps

    def rate(self):
        """Return the learning rate now: a linear warm-up, then half a cosine."""
        warm = min(1.0, (int(self.step) + 1) / self.schedule.get("warmup", 500))
        return self.schedule["lr"] * warm * max(0.5 * (1 + math.cos(math.pi * min(1.0, self.progress))), 1e-3)

    def _stepper(self, loss):
        @tf.function
        def step(low, high):
            with tf.GradientTape() as tape:
                value = loss(high - low, tf.cast(self.model(low, training=True), tf.float32))
            self.optimizer.apply(tape.gradient(value, self.variables))
            for average, variable in zip(self.average, self.variables, strict=True):
                average.assign_sub((average - variable.value) * (1 - AVERAGE))
            return value

        return step

    def run(self):
        """Train until the recipe's steps or minutes are over; return the record."""
        step = self._stepper(LOSSES[self.recipe["loss"]["name"]])
        batches = _prefetch(self.pairs.sampler(self.recipe["data"]["patch"], self.recipe["data"]["batch"], self.seed))
        begun, before, losses = time.monotonic(), float(self.seconds), []
        next_log = next_save = 0.0
        while self.progress < 1:
            self.optimizer.set_rate(self.rate())
            for _ in range(50):  # the rate and the clock need no finer grain
                losses.append(step(*next(batches)))
            self.step.assign_add(50)
            self.seconds.assign(before + time.monotonic() - begun)
            if time.monotonic() > next_save:
                self.manager.save()
                next_save = time.monotonic() + 60
            if time.monotonic() > next_log:
                self._log(float(np.mean(losses)))
                losses, next_log = [], time.monotonic() + self.schedule.get("log_seconds", 120)
        self.manager.save()
        return self._finish()

    def validate(self):
        """Return {set: mean PSNR} of the averaged weights."""
        for variable, average in zip(self.judge.trainable_variables, self.average, strict=True):
            variable.assign(average)
        return {
            name: round(float(np.mean([luma_psnr(self._upscaled(low), high, self.scale) for high, low in pairs])), 4)
            for name, pairs in self.tests.items()
        }

    def _upscaled(self, low):
        s, (h, w) = self.scale, low.shape
        x = tf.constant(low[None, :, :, None] / np.float32(255))
        planes = (self.forward(x) + x).numpy().reshape(h, w, s, s)
        return np.clip(np.rint(planes.transpose(0, 2, 1, 3).reshape(h * s, w * s) * 255), 0, 255)

    def _log(self, loss):
        line = {
            "step": int(self.step),
            "minutes": round(float(self.seconds) / 60, 1),
            "rate": round(self.rate(), 7),
            "loss": round(loss, 6),
            **self.validate(),
        }
        with open(self.folder / "log.jsonl", "a", encoding="utf-8") as log:
            log.write(json.dumps(line) + "\n")
        return line

    def _finish(self):
        psnr = self.validate()
        self.judge.save_weights(self.folder / "average.weights.h5")
        record = {
            "recipe": self.recipe,
            "steps": int(self.step),
            "minutes": round(float(self.seconds) / 60, 1),
            "parameters": networks.collapse(self.judge).count_params(),
            "psnr": psnr,
        }
        (self.folder / "record.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        return record


def _test_set(name, scale, degradation):
    pairs = [data.pair(path, scale, degradation) for path in data.images([name])]
    return [(data.luma(high), np.rint(data.luma(low))) for high, low in pairs]


def _prefetch(batches, depth=8):
    """Yield from ``batches``, made in a thread of its own so that convolution never waits."""
    box = queue.Queue(depth)

    def fill():
        for batch in batches:
            box.put(batch)

    threading.Thread(target=fill, daemon=True).start()
    while True:
        yield box.get()
