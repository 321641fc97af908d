"""How `cvsr upscale --scheduler` scales: what a file costs is measured here, 1 to 64 workers are simulated.

All costs are processor time, so that other work on this machine does not count. Needs the extra dask.
"""

import heapq
import os
import resource
import subprocess
import sys
import tempfile
import time

import cv2
from distributed import Client, LocalCluster
from skimage import data

NETWORK = 110e6  # bytes a second that the shared folder's network moves: 1 Gbit/s


def costs(cluster: LocalCluster, files: int, side: int) -> list[float]:
    """Return the processor seconds that a run over so many photos takes from scheduler, client and workers."""
    with tempfile.TemporaryDirectory() as folder, Client(cluster) as client:
        photo = cv2.resize(cv2.cvtColor(data.astronaut(), cv2.COLOR_RGB2BGR), (side, side))
        for number in range(files):
            cv2.imwrite(f"{folder}/{number}.jpg", photo)
        command = [sys.executable, "-m", "cvsr", "upscale", folder, "-o", folder + "/out", "--scheduler"]

        def spent() -> list[float]:
            children = resource.getrusage(resource.RUSAGE_CHILDREN)
            return [time.process_time(), children.ru_utime, sum(client.run(time.process_time).values())]

        before = spent()
        subprocess.run([*command, cluster.scheduler_address], check=True, stderr=subprocess.DEVNULL)
        return [after - start for after, start in zip(spent(), before, strict=True)]


def simulated(workers: int, files: int, work: float, serial: float, moved: float) -> float:
    """Return seconds. Workers work side by side; one scheduler hands the files out and one network moves them."""
    free, scheduler, network = [0.0] * workers, 0.0, 0.0
    for _ in range(files):
        scheduler = max(scheduler, heapq.heappop(free)) + serial
        network = max(network, scheduler) + moved
        heapq.heappush(free, network + work)
    return max(free)


if __name__ == "__main__":  # the workers' processes import this file too
    os.environ |= {"MALLOC_TRIM_THRESHOLD_": "268435456", "MALLOC_MMAP_THRESHOLD_": "33554432"}  # see cluster.md
    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as local:
        few, many, large = costs(local, 2, 16), costs(local, 62, 16), costs(local, 10, 512)
    serial = max(many[i] - few[i] for i in (0, 1)) / 60  # scheduler and client work side by side
    work, moved = (large[2] - few[2]) / 8, 400e3 / NETWORK
    print(f"each file, 512x512 JPEG by 2: {work * 1e3:.0f} ms of a worker's core, {serial * 1e3:.1f} ms in turn")
    for workers in (1, 2, 4, 8, 16, 32, 64):
        took = simulated(workers, 10_000, work, serial, moved)
        print(f"{workers:3} cores: {10_000 / took:6.1f} files/s, {work * 10_000 / took / workers:4.0%} of ideal")
