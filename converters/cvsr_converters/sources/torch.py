"""Read PyTorch weights of a known architecture: spandrel rebuilds the network from their names and shapes."""

import io
import pickle
import zipfile
from pathlib import Path

from cvsr.errors import ModelError, install_hint
from cvsr_converters.facts import Facts
from cvsr_converters.original import Input, Original

TITLE = "PyTorch weights of an architecture that spandrel supports (.pth, .pt, .ckpt, .safetensors)"
SUFFIXES = (".pth", ".pt", ".ckpt", ".safetensors")
OPSET = 17  # the last that the older exporter fully supports; operators that OpenCV cannot run are reported by name
LEGACY = pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2)  # first bytes of a torch.save file before PyTorch 1.6
ARCHIVE = b"PK\x03\x04"  # and since then, which is a zip file
TRUST = "it could run any code; if you trust its source, pass --trust"


def matches(path):
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES or not path.is_file():
        return False
    if path.suffix.lower() == ".safetensors":
        return True
    with path.open("rb") as file:
        return file.read(len(LEGACY)).startswith((LEGACY, ARCHIVE))


def read(path, options):
    path = Path(path)
    torch, spandrel = _libraries()
    state = _weights(path, torch, options.trust)
    try:
        descriptor = spandrel.ModelLoader(device="cpu").load_from_state_dict(state)
    except spandrel.UnsupportedModelError:
        raise ModelError(
            f"{path.name}: spandrel {spandrel.__version__} does not support the architecture of these weights; "
            "export the network as ONNX with the code that trained it, and convert that"
        ) from None
    except Exception as error:  # an architecture is detected by a few keys; the others may not fit
        raise ModelError(f"{path.name}: spandrel cannot build the network for these weights: {_line(error)}") from None
    return original(descriptor, path.stem)


def original(descriptor, name):
    """Return the :class:`Original` of a network that spandrel has loaded; raise ModelError."""
    from cvsr_converters.sources import multiple
    from cvsr_converters.sources.onnx.graph import at_size

    torch, spandrel = _libraries()
    kind, needs = descriptor.architecture.name, descriptor.size_requirements
    if not isinstance(descriptor, spandrel.ImageModelDescriptor):
        raise ModelError(f"{kind} needs a mask besides the image, which the runtime does not provide")
    if descriptor.input_channels != descriptor.output_channels or descriptor.input_channels not in (1, 3):
        channels = f"{descriptor.input_channels} channels in and {descriptor.output_channels} out"
        raise ModelError(f"{kind} with {channels} is not supported: both must be 1 or both 3")
    if needs.square:
        raise ModelError(f"{kind} accepts square images only, but the runtime needs networks that accept any size")
    network = _module(descriptor, torch)

    def run(blob):
        with torch.inference_mode():
            return [network(torch.tensor(blob)).numpy()]  # a copy: some networks scale their input in place

    def graph(size):
        shape = (1, descriptor.input_channels, *size)
        return at_size(_exported(network, shape, kind, torch), [shape])

    facts = Facts(scale=descriptor.scale, color="luma" if descriptor.input_channels == 1 else "rgb", range=1.0)
    if (needed := multiple.needed(graph, needs.multiple_of) or needs.multiple_of) > 1:
        facts |= Facts(multiple=needed)
    return Original(name, [Input("image", descriptor.input_channels)], ["output"], run, graph, facts)


def _libraries():
    try:
        import spandrel
        import torch
    except ImportError as error:
        raise ModelError(
            f"PyTorch models need torch, torchvision and spandrel ({error}): {install_hint('torch')}"
        ) from None
    return torch, spandrel


def _module(descriptor, torch):
    """Return the network as a float32 module of one image, ready for inference."""

    class Network(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = descriptor.model

        def forward(self, image):
            # what descriptor(image) does, without the padding and in-place clamping, which cannot be exported
            return descriptor._call_fn(self.model, image)

    return Network().float().eval()


def _weights(path, torch, trust):
    """Return the state dict in a file; code in it runs only if ``trust``."""
    if path.suffix.lower() == ".safetensors":
        import safetensors.torch

        try:
            return safetensors.torch.load_file(path, device="cpu")
        except Exception as error:  # SafetensorError, or others if the header is broken
            raise ModelError(f"{path.name} is not a safetensors file, or is damaged: {_line(error)}") from None
    if _is_script(path):
        if not trust:
            raise ModelError(f"{path.name} is a TorchScript program, not weights alone: {TRUST}")
        return torch.jit.load(path, map_location="cpu").state_dict()
    try:
        state = torch.load(path, map_location="cpu", weights_only=not trust)
    except pickle.UnpicklingError as error:
        if "weights_only" in str(error) or "Unsupported" in str(error):
            raise ModelError(f"{path.name} contains Python objects besides weights: {TRUST}") from None
        raise ModelError(f"{path.name} is not a PyTorch file, or is damaged: {_line(error)}") from None
    except Exception as error:  # a damaged file fails in many ways
        raise ModelError(f"{path.name} is not a PyTorch file, or is damaged: {_line(error)}") from None
    if not isinstance(state, dict):
        raise ModelError(f"{path.name} contains a {type(state).__name__}, not weights; save the model's state_dict()")
    return state


def _is_script(path):
    """Return whether a file is a TorchScript archive; refuse weights that unpack to more than the file's size."""
    with path.open("rb") as file:
        if file.read(len(ARCHIVE)) != ARCHIVE:
            return False
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, EOFError, NotImplementedError, ValueError) as error:
        raise ModelError(f"{path.name} is not a PyTorch file, or is damaged: {_line(error)}") from None
    if any("/code/" in entry.filename for entry in entries):
        return True
    if sum(entry.file_size for entry in entries) > path.stat().st_size:
        raise ModelError(f"{path.name} is compressed or damaged: PyTorch stores weights uncompressed; save it again")
    return False


def _exported(network, shape, kind, torch):
    """Return PyTorch's ONNX model of a network for images of exactly this ``shape``."""
    import onnx

    file = io.BytesIO()
    try:
        with torch.no_grad():
            # the older exporter: the newer one rewrites and renames nodes that must match between traces at two sizes
            torch.onnx.export(
                network, (torch.zeros(shape),), file, opset_version=OPSET, dynamo=False,
                input_names=["image"], output_names=["output"],
            )  # fmt: skip
    except Exception as error:  # unsupported operators have their own class, but the network itself may fail too
        size = "x".join(map(str, shape[2:]))
        raise ModelError(f"PyTorch cannot export {kind} to ONNX for an image of {size}: {_line(error)}") from None
    return onnx.load_from_string(file.getvalue())


def _line(error, length=300):
    return " ".join(str(error).split())[:length]
