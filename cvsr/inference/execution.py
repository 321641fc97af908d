"""Run the networks of an upscaler: on which device, with how many threads, in tiles or segments, by which plan."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from cvsr.inference import flat_tiles, placement, plan, saved_plans
from cvsr.inference.network import Network
from cvsr.inference.opencv_superres import OpenCVSuperRes
from cvsr.inference.saved_plans import SavedPlan
from cvsr.inference.stages import Stage, Watch
from cvsr.inference.tiled import Upscaled
from cvsr.modelfiles.info import ModelInfo
from cvsr.opencv import threads
from cvsr.opencv.ran_on import RanOn

if TYPE_CHECKING:
    from cvsr.inference.segment_nets import SegmentNets


@dataclass
class Execution:
    """Networks by scale, loaded when first needed, and the threads that run them; see :class:`cvsr.Upscaler`."""

    models: dict[int, ModelInfo]
    requested: str
    engine: str
    exact: bool
    tile: int | None
    threads: int | None
    tuned: bool
    effort: str = "full"
    _networks: dict[int, Network | OpenCVSuperRes] = field(default_factory=dict[int, "Network | OpenCVSuperRes"])
    _segment_nets: dict[Network, SegmentNets | None] = field(default_factory=dict[Network, "SegmentNets | None"])
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _pool: ThreadPoolExecutor | None = None
    _owner: int = 0

    def __getstate__(self) -> dict[str, object]:
        """Return the state for another process: everything but networks and threads."""
        local: dict[str, object] = {"_networks": {}, "_segment_nets": {}, "_lock": None, "_pool": None, "_owner": 0}
        return vars(self) | local

    def __setstate__(self, state: dict[str, object]) -> None:
        """Restore the state from another process; networks are loaded when needed."""
        vars(self).update(state, _networks={}, _segment_nets={}, _lock=threading.RLock())

    def network(self, scale: int) -> Network | OpenCVSuperRes:
        """Return the network of a scale. Raises ModelError, or DeviceError if a named device does not work."""
        with self._lock:
            if scale not in self._networks:
                info = self.models[scale]
                self._networks[scale] = (
                    OpenCVSuperRes(info, self.requested)
                    if self.engine == "superres"
                    else placement.network(info, self.requested, self.exact)
                )
            return self._networks[scale]

    def stage(self, source: Stage, scale: int, pixel: int, budget: int | None, watch: Watch) -> Stage:
        """Return the stage that enlarges ``source`` with the network of a scale.

        ``pixel``: bytes per pixel of the source; ``budget``: bytes that the stage may take. Raises MemoryBudgetError.
        """
        network = self.network(scale)
        if isinstance(network, OpenCVSuperRes):
            return network.stage(source, watch)
        nets, count = self.segment_nets(network), self._thread_count()
        how = nets and plan.segments(network.info, nets.segments, source.size, max_memory=budget)
        if nets and how:
            from cvsr.inference.segmented import Streamed  # lazy: keeps the import of cvsr fast

            network.unload()
            return Streamed(source, nets, how, self.pool(), watch)
        measured, fast = self._measured(network), self._fast(network)
        tiling = plan.tiles(
            network.info,
            source.size,
            pixel,
            threads=measured.workers if measured else count,
            tile=self.tile,
            max_memory=budget,
            best=measured.tile if measured else flat_tiles.TILE if fast else None,
        )
        return Upscaled(source, network, tiling, self.pool(), watch, fast=fast)

    def segment_nets(self, network: Network) -> SegmentNets | None:
        """Return a network in segments, None if tiles were requested or it is too shallow to gain."""
        if self.tile is not None or (network.info.radius or 0) < plan.DEEP:
            return None
        from cvsr.inference import segment_nets

        with self._lock:
            if network not in self._segment_nets:
                self._segment_nets[network] = segment_nets.in_segments(network)
            return self._segment_nets[network]

    def pool(self) -> ThreadPoolExecutor:
        """Return the thread pool that computes tiles."""
        with self._lock:
            if self._pool is None or self._owner != os.getpid():  # a fork inherits the object, but not its threads
                self._pool, self._owner = ThreadPoolExecutor(self._thread_count(), "cvsr"), os.getpid()
            return self._pool

    def ran_on(self, scale: int) -> RanOn | None:
        """Return what the network of a scale really ran on, and by which plan; None before its first forward."""
        network = self.network(scale)
        if isinstance(network, OpenCVSuperRes) or network.ran_on is None:
            return network.ran_on
        return replace(network.ran_on, plan=self._plan_text(network))

    def _plan_text(self, network: Network) -> str:
        nets, measured = self.segment_nets(network), self._measured(network)
        if nets:
            return f"{len(nets.segments)} segments, row by row"
        if measured:
            return f"tiles of {measured.tile} pixels, {measured.workers} at a time, as measured on this machine"
        if self._fast(network):
            side, note = self.tile or flat_tiles.TILE, ", flat ones interpolated"
        else:
            side, note = plan.side(network.info, self.tile), ""
        return f"tiles of {side} pixels, {self._thread_count()} at a time{note}" if side else "the whole image at once"

    def _fast(self, network: Network) -> bool:
        return self.effort == "fast" and network.info.radius is not None

    def _thread_count(self) -> int:
        if self.threads is not None:
            return max(1, self.threads)
        ran = next(iter(self._networks.values())).ran_on
        # other devices, and the new engine, are fastest with one net at a time
        alone = ran is not None and (ran.engine != "classic" or ran.device != "cpu")
        return 1 if alone else threads.count()

    def _measured(self, network: Network) -> SavedPlan | None:
        """Return the plan that was measured for a network on this machine, unless the caller has chosen one."""
        asked = self.tile is not None or self.threads is not None or self.effort == "fast"
        if asked or not self.tuned or network.device.name != "cpu":
            return None
        found = saved_plans.find(network.info, self.exact)
        return found if found and found.tile else None
