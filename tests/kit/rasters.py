"""Stacks and maps from file to file, with an upscaler that the test has."""

from __future__ import annotations

from pathlib import Path

from cvsr import Upscaler
from cvsr.io import atomic
from cvsr.rasters.maps import Scene
from cvsr.rasters.stacks import Stack


def upscale_stack(source: Path, target: Path, upscaler: Upscaler, **options) -> None:
    _upscale(Stack, source, target, upscaler, options)


def upscale_map(source: Path, target: Path, upscaler: Upscaler, **options) -> None:
    _upscale(Scene, source, target, upscaler, options)


def _upscale(kind: type[Stack | Scene], source: Path, target: Path, upscaler: Upscaler, options: dict) -> None:
    with kind(source) as opened, atomic.atomic(target) as stream:
        opened.write(stream, upscaler, **options)
