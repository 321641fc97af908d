"""Estimate how `cvsr upscale --scheduler` scales to 64 cores from the measured processor time per file."""

import os
import subprocess
import sys
import tempfile
import time

import cv2
import numpy as np
from distributed import Client, LocalCluster
from skimage import data


def costs(cluster, files, side):
    """Return the processor seconds of scheduler, client and workers for a run over that many photos."""
    with tempfile.TemporaryDirectory() as folder, Client(cluster) as client:
        for number in range(files):
            cv2.imwrite(f"{folder}/{number}.jpg", cv2.resize(data.astronaut()[:, :, ::-1], (side, side)))

        def spent():
            return np.array([time.process_time(), os.times()[2], sum(client.run(time.process_time).values())])

        before = spent()
        command = [sys.executable, "-m", "cvsr", "upscale", folder, "-o", f"{folder}/out", "--scheduler"]
        subprocess.run([*command, cluster.scheduler_address], check=True, stderr=subprocess.DEVNULL)
        return spent() - before


if __name__ == "__main__":  # the workers' processes import this file too
    os.environ |= {"MALLOC_TRIM_THRESHOLD_": "268435456", "MALLOC_MMAP_THRESHOLD_": "33554432"}  # see cluster.md
    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as local:
        runs = (2, 16), (2, 16), (202, 16), (12, 512)  # the first one warms up
        _, few, many, large = (costs(local, *run) for run in runs)
    serial = max((many - few)[:2]) / 200  # scheduler and client run in parallel; each handles one file after the other
    work, moved = (large - few)[2] / 10, 400e3 / 110e6  # bytes per file, through a network of 1 Gbit/s
    print(f"per file, 512x512 JPEG by 2: {work * 1e3:.0f} ms of a worker's core, {serial * 1e3:.1f} ms serial")
    for cores in (1, 2, 4, 8, 16, 32, 64):
        speed = min(cores / (work + serial + moved), 1 / max(serial, moved))
        print(f"{cores:3} cores: {speed:6.1f} files/s, {speed * work / cores:4.0%} of ideal")
