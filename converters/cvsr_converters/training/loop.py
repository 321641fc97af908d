"""The training loop: warm-up and cosine decay, averaged weights, resumable checkpoints, a log of PSNR."""

import json
import logging
import math
import queue
import subprocess
import threading
import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from cvsr.image import metrics
from cvsr_converters import networks
from cvsr_converters.training import adversary, data, losses, start, task
from cvsr_converters.training.muon import Adam, Muon
from cvsr_converters.training.teacher import Teacher

AVERAGE = 0.999  # decay of the exponential moving average that is validated and kept; less in the first steps
STEPS = 10  # between looks at the clock
LONGEST = 60  # seconds between two looks that count: a process that was stopped meanwhile has not trained
_SAYS = logging.getLogger(__name__)
OPTIMIZERS = {"adam": Adam, "muon": Muon}


class Training:
    """One run of a recipe in a folder: ``state/`` to resume from, ``log.jsonl``, the weights and ``record.json``.

    Raises FileNotFoundError where images or weights are missing, ValueError for a recipe that makes no sense.
    """

    def __init__(self, recipe, folder, cache, minutes=None, seed=0):
        self.recipe, self.folder = recipe, Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.schedule = recipe["schedule"]
        self.minutes = minutes or self.schedule.get("minutes")
        keras.utils.set_random_seed(seed)
        self.task = task.Task(recipe["network"])
        self.model = task.built(recipe["network"], recipe.get("precision", "float32"))
        # validation is in float32, whatever the training is in
        self.judge = task.built(recipe["network"])
        if recipe.get("start"):
            start.begin(self.model, recipe["start"], self.folder.parent)
        self.begun = [v.numpy() for v in self.model.variables]
        self.variables = self.model.trainable_variables
        self.average = [tf.Variable(v.value) for v in self.model.variables]
        self.optimizer = OPTIMIZERS[self.schedule.get("optimizer", "muon")](self.variables, self.schedule.get("clip"))
        self.loss = losses.Weighted(recipe["loss"], recipe.get("precision", "float32"))
        self.adversary = adversary.made(recipe, self.loss)
        self.step, self.seconds = tf.Variable(0, dtype=tf.int64), tf.Variable(0.0, dtype=tf.float64)
        state = tf.train.Checkpoint(
            model=self.model, optimizer=self.optimizer, average=self.average, step=self.step, seconds=self.seconds
        )
        if self.adversary:
            state.adversary = self.adversary.state
        self.manager = tf.train.CheckpointManager(state, str(self.folder / "state"), max_to_keep=2)
        state.restore(self.manager.latest_checkpoint)
        self._read(recipe["data"], cache, seed + int(self.step))
        self.forward = {s: self._validator(s) for s in self.task.scales}

    def _read(self, options, cache, seed):
        degradation, shrink = options.get("degradation", "bicubic"), options.get("shrink", [1.0])
        taught = Teacher(**options["teacher"]) if "teacher" in options else None
        self.batches, self.tests = {}, {}
        for scale, wanted in self.task.wanted(self.model).items():
            pairs = data.prepare(options["folders"], wanted, cache, degradation, shrink, taught)
            sampler = pairs.sampler(options["patch"], options["batch"], seed, options.get("weights", ()))
            self.batches[scale] = _prefetch(sampler)
            for name in options.get("validate", []):
                label = f"{name} x{scale}" if self.task.several else name
                self.tests[label] = scale, _test_set(name, wanted, degradation)

    @property
    def progress(self):
        """Return how much of the run is done, 0..1: by steps, or by minutes where they run out first."""
        by_steps = int(self.step) / self.schedule["steps"]
        return max(by_steps, float(self.seconds) / 60 / self.minutes) if self.minutes else by_steps

    def rate(self):
        """Return the learning rate now: a linear warm-up, then half a cosine."""
        warm = min(1.0, (int(self.step) + 1) / self.schedule.get("warmup", 500))
        return self.schedule["lr"] * warm * max(0.5 * (1 + math.cos(math.pi * min(1.0, self.progress))), 1e-3)

    def _stepper(self):
        functions = {scale: self.task.function(self.model, scale) for scale in self.task.scales}
        name = f"x{self.task.scales[0]}"

        @tf.function
        def step(batches, decay):
            with tf.GradientTape() as tape:
                value = 0.0
                for scale, function in functions.items():  # all in one step, where MDSR's authors take turns
                    batch = batches[scale]
                    made = function(batch, training=True)
                    if self.loss.strides:
                        pairs = {key: losses.shifted(batch[key], picture) for key, picture in made.items()}
                        batch, made = ({key: pair[i] for key, pair in pairs.items()} for i in (0, 1))
                    value += self.loss.pixels(batch, made)
                if self.adversary:
                    value += self.adversary.opinion(batch[name], made[name])
            self.optimizer.apply(tape.gradient(value, self.variables))
            if self.adversary:
                self.adversary.learn(batch[name], tf.stop_gradient(made[name]))
            for average, variable in zip(self.average, self.model.variables, strict=True):
                average.assign_sub((average - variable.value) * (1 - decay))
            return value

        return step

    def run(self):
        """Train until the recipe's steps or minutes are over; return the record."""
        step = self._stepper()
        last, values = time.monotonic(), []
        next_log = next_save = 0.0
        while self.progress < 1:
            self.optimizer.set_rate(self.rate())
            if self.adversary:
                self.adversary.set_rate(self.rate())
            for number in range(STEPS):  # the rate and the clock need no finer grain
                # where it began is forgotten fast
                decay = min(AVERAGE, (int(self.step) + number + 1) / (int(self.step) + number + 10))
                values.append(step({s: next(pairs) for s, pairs in self.batches.items()}, tf.constant(decay)))
            self.step.assign_add(STEPS)
            now = time.monotonic()
            self.seconds.assign_add(min(now - last, LONGEST))
            last = now
            if time.monotonic() > next_save:
                self.manager.save()
                next_save = time.monotonic() + 60
            if time.monotonic() > next_log:
                self._log(float(np.mean(values)))
                values, next_log = [], time.monotonic() + self.schedule.get("log_seconds", 120)
        self.manager.save()
        return self._finish()

    def validate(self):
        """Return {set: mean PSNR} of the averaged weights."""
        for variable, average in zip(self.judge.variables, self.average, strict=True):
            variable.assign(average)
        return {
            name: round(float(np.mean([self._psnr(scale, *test) for test in tests])), 4)
            for name, (scale, tests) in self.tests.items()
        }

    def _validator(self, scale):
        function = self.task.function(self.judge, scale)
        return tf.function(lambda batch: function(batch)[f"x{scale}"], reduce_retracing=True)

    def _psnr(self, scale, batch, target):
        made = self.forward[scale](batch)[0].numpy()
        made = np.clip(np.rint(made * 255), 0, 255)
        return luma_psnr(data.luma(made[:, :, ::-1] if made.shape[2] == 3 else made[:, :, 0]), target, scale)

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
        _SAYS.info(", ".join(f"{key} {value:g}" for key, value in line.items()))

    def _finish(self):
        keep = self.recipe.get("start", {}).get("keep", 0.0)
        for average, begun in zip(self.average, self.begun, strict=True):
            average.assign(keep * begun + (1 - keep) * average)
        psnr = self.validate()
        self.judge.save_weights(self.folder / "average.weights.h5")
        record = {
            "recipe": self.recipe,
            "commit": commit(),
            "steps": int(self.step),
            "minutes": round(float(self.seconds) / 60, 1),
            "parameters": networks.collapse(self.judge).count_params(),
            "psnr": psnr,
        }
        (self.folder / "record.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        return record


def commit():
    """Return which commit of its repository this code is, "" where it is installed without one."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:  # no git
        return ""


def luma_psnr(a, b, border):
    """Return the PSNR in dB of two full-range luma images 0..255, over studio range and less the border, as usual."""
    a, b = (16 + 219 / 255 * metrics.crop_border(image, border) for image in (a, b))
    return metrics.psnr(a, b)


def _test_set(name, wanted, degradation):
    """Return [(batch of one picture, its luma in 0..255)]."""
    result = []
    for path in data.images([name]):
        high, low = data.pair(path, wanted.scale, degradation)
        made = data.unit(data.pictures(high, low, wanted))
        result.append(({key: value[None] for key, value in made.items() if key[0] != "x"}, data.luma(high)))
    return result


def _prefetch(batches, depth=8):
    """Yield from ``batches``, made in a thread of its own so that convolution never waits; raise what they raise."""
    box = queue.Queue(depth)

    def fill():
        try:
            for batch in batches:
                box.put(batch)
        except Exception as error:
            box.put(error)

    threading.Thread(target=fill, daemon=True).start()
    while True:
        made = box.get()
        if isinstance(made, Exception):
            raise made
        yield made
