"""Measure the speed and memory of models, next to other runtimes on the same files: ``cvsr bench``.

Each contestant runs in its own process, so that thread pools and allocators do not interfere. The contestants take
turns in every round, so that other load on the machine slows all of them alike.
"""
