"""Small networks of spandrel's architectures, with random weights, and the table of how they convert."""

from __future__ import annotations

import importlib
import tempfile
from dataclasses import dataclass
from pathlib import Path

import onnx
import torch

from cvsr.errors import ModelError
from cvsr_converters import sources
from cvsr_converters.conversion import child
from cvsr_converters.proof.report import Report
from cvsr_converters.sources import torch as reader


@dataclass(frozen=True)
class Net:
    """A network: its class in spandrel, its arguments, and whether it converts."""

    path: str
    arguments: dict
    converts: bool = True


WINDOWS = {"embed_dim": 12, "depths": [1, 1], "num_heads": [2, 2], "window_size": 8, "upscale": 2}
STAGES = {"embed_dim": 32, "depth": [1, 1], "num_heads": [2, 2], "split_size": [8, 8], "upscale": 2}
SMALL = {"num_filters": 16, "num_blocks": 1}
NETS = {
    "ESRGAN x4 (RRDB)": Net("ESRGAN.ESRGAN", {"num_filters": 16, "num_blocks": 2}),
    "ESRGAN x2, unshuffled": Net("ESRGAN.ESRGAN", SMALL | {"shuffle_factor": 2, "in_nc": 12}),
    "ESRGAN x1, unshuffled": Net("ESRGAN.ESRGAN", SMALL | {"shuffle_factor": 4, "in_nc": 48}),
    "ESRGAN+ x4": Net("ESRGAN.ESRGAN", SMALL | {"plus": True}),
    "Real-ESRGAN Compact x4": Net("Compact.Compact", {"num_feat": 16, "num_conv": 4}),
    "Real-ESRGAN Compact x2, luma": Net(
        "Compact.Compact", {"num_in_ch": 1, "num_out_ch": 1, "num_feat": 16, "num_conv": 4, "upscale": 2}
    ),
    "SPAN x2": Net("SPAN.SPAN", {"num_in_ch": 3, "num_out_ch": 3, "feature_channels": 16, "upscale": 2}),
    "RCAN x2": Net("RCAN.RCAN", {"scale": 2, "n_resgroups": 2, "n_resblocks": 2, "n_feats": 16, "reduction": 4}),
    "RCAN x2, unshuffled": Net(
        "RCAN.RCAN", {"scale": 2, "n_resgroups": 1, "n_resblocks": 2, "n_feats": 16, "unshuffle_mod": True}
    ),
    "PLKSR x2": Net("PLKSR.PLKSR", {"dim": 16, "n_blocks": 2, "upscaling_factor": 2, "kernel_size": 9}),
    "RealPLKSR x2": Net("PLKSR.RealPLKSR", {"dim": 16, "n_blocks": 2, "upscaling_factor": 2, "kernel_size": 9}),
    "RealPLKSR x2, DySample": Net(
        "PLKSR.RealPLKSR", {"dim": 16, "n_blocks": 1, "upscaling_factor": 2, "dysample": True}, False
    ),
    "SAFMN x2": Net("SAFMN.SAFMN", {"dim": 16, "n_blocks": 2, "upscaling_factor": 2}),
    "SAFMN-BCIE": Net("SAFMNBCIE.SAFMNBCIE", {"dim": 16, "n_blocks": 1, "num_layers": 1, "upscaling_factor": 2}),
    "MoSR x2": Net("MoSR.MoSR", {"upscale": 2, "n_block": 2, "dim": 16}),
    "MoESR x2": Net("MoESR.MoESR", {"scale": 2, "dim": 16, "n_blocks": 1, "n_block": 1, "upsample_dim": 16}, False),
    "SwiftSRGAN x2": Net("SwiftSRGAN.SwiftSRGAN", {"num_channels": 16, "num_blocks": 2, "upscale_factor": 2}),
    "Real-CUGAN x2": Net("RealCUGAN.UpCunet2x", {}),
    "Real-CUGAN x2, fast": Net("RealCUGAN.UpCunet2x_fast", {}),
    "MM-RealSR x4": Net(
        "MMRealSR.MMRealSR",
        {"num_in_ch": 3, "num_out_ch": 3, "num_feat": 16, "num_block": 1, "num_feats": [16] * 4, "num_blocks": [1] * 4},
        False,
    ),
    "SeemoRe x2": Net("SeemoRe.SeemoRe", {"scale": 2, "num_experts": 2, "num_layers": 1, "embedding_dim": 16}, False),
    "DnCNN (denoising)": Net("DnCNN.DnCNN", {"nc": 16, "nb": 9, "act_mode": "R"}),
    "DRUNet (denoising)": Net("DRUNet.DRUNet", {"in_nc": 4, "out_nc": 3, "nc": [8, 16, 16, 16], "nb": 2}, False),
    "NAFNet (deblurring)": Net("NAFNet.NAFNet", {"width": 8, "enc_blk_nums": [1, 1], "dec_blk_nums": [1, 1]}),
    "KBNet (denoising)": Net(
        "KBNet.KBNet_s", {"width": 8, "middle_blk_num": 1, "enc_blk_nums": [1, 1], "dec_blk_nums": [1, 1]}, False
    ),
    "MixDehazeNet": Net("MixDehazeNet.MixDehazeNet", {"embed_dims": [8, 16, 32, 16, 8]}, False),
    "DITN x2": Net("DITN.DITN", {"dim": 12, "ITL_blocks": 1, "SAL_blocks": 1, "upscale": 2}, False),
    "OmniSR x2": Net("OmniSR.OmniSR", {"num_feat": 16, "up_scale": 2}, False),
    "FDAT x2": Net(
        "FDAT.FDAT", {"scale": 2, "embed_dim": 16, "num_groups": 1, "depth_per_group": 2, "num_heads": 2}, False
    ),
    "SwinIR x2": Net("SwinIR.SwinIR", WINDOWS | {"upsampler": "pixelshuffle"}, False),
    "HAT x2": Net("HAT.HAT", WINDOWS | {"upsampler": "pixelshuffle", "squeeze_factor": 4}, False),
    "DAT x2": Net("DAT.DAT", STAGES, False),
    "CRAFT x2": Net("CRAFT.CRAFT", {"embed_dim": 48, "depths": [1], "num_heads": [2], "upscale": 2}, False),
    "Uformer (deblurring)": Net("Uformer.Uformer", {"img_size": 128, "embed_dim": 8, "depths": [1] * 9}, False),
    "SCUNet (denoising)": Net("SCUNet.SCUNet", {"config": [1] * 7, "dim": 32}, False),
}


@dataclass(frozen=True)
class Result:
    """What became of one network: the ops of its file and the verification, or why it was refused."""

    name: str
    ops: str = ""
    multiple: int = 1
    report: Report | None = None
    refusal: str = ""


def built(net):
    """Return a network with weights that are random everywhere: what starts as zero or one would hide mistakes."""
    name, _, kind = net.path.partition(".")
    torch.manual_seed(0)
    network = getattr(importlib.import_module(f"spandrel.architectures.{name}"), kind)(**net.arguments).eval()
    with torch.no_grad():
        for value in network.parameters():
            value.add_(0.02 * torch.randn_like(value))
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.5, 1.5)
    return network


def convert(name, folder, pythons=()):
    """Return the :class:`Result` of one network: saved, read, and converted as the command does it."""
    path = Path(folder, "net.pth")
    torch.save(built(NETS[name]).state_dict(), path)
    try:
        original = reader.read(path, sources.Options())
        data, report = child.convert(child.Request(name="net", pythons=tuple(pythons)), original, reader.TITLE)
    except ModelError as error:
        return Result(name, refusal=" ".join(str(error).split()))
    ops = sorted({node.op_type for node in onnx.load_from_string(data).graph.node})
    return Result(name, " ".join(ops), report.facts.get("multiple", 1), report.proof)


def table(pythons=()):
    """Return the Markdown table of all networks."""
    lines = ["| network | result | largest error | sides | operations, or the reason |", "|---|---|---|---|---|"]
    for name in NETS:
        with tempfile.TemporaryDirectory() as folder:
            result = convert(name, folder, pythons)
        lines.append(line(result))
    return "\n".join(lines)


def line(result):
    """Return the line of one network in the table."""
    if result.report is None:
        reason = result.refusal if len(result.refusal) < 240 else f"{result.refusal[:240]} …"
        return f"| {result.name} | refused | | | {reason.replace('|', '/')} |"
    bad = [row for row in result.report.rows if row.result != "ok"]
    errors = [row.error for row in result.report.rows if row.error is not None]
    said = "; ".join(f"{row.runtime} {row.engine}: {row.result} {row.note}".replace("|", "/") for row in bad)
    sides = "any" if result.multiple == 1 else f"multiples of {result.multiple}"
    verdict = "not written" if bad else "right"
    return f"| {result.name} | {verdict} | {max(errors):.0e} | {sides} | {said or result.ops} |"
