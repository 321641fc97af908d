"""The public names, their signatures, the verbs, and the options of each."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import re
from typing import Any

from sections import kit

MODULES = ("cvsr", "cvsr.dask", "cvsr.video", "cvsr.dnn_superres", "cvsr.devices", "cvsr_converters")
UNLISTED = {"cvsr.dask": ["upscale"], "cvsr.devices": ["NAMES", "probe"]}  # of modules that have no __all__


def run(book: kit.Book) -> None:
    """Note names, signatures and options."""
    for name in MODULES:
        module = book(f"{name}/there", importlib.import_module, name)
        if module is None:
            continue
        listed = getattr(module, "__all__", None)
        book.note(f"{name}/__all__", sorted(listed) if listed else None)
        for each in listed or UNLISTED.get(name, []):
            _public(book, f"{name}.{each}", getattr(module, each, None))
    book("cvsr/version", lambda: importlib.import_module("cvsr").__version__)
    book("cvsr/attributes", lambda: [hasattr(importlib.import_module("cvsr"), name) for name in ("dnn_superres", "no")])
    light = "import cvsr, sys; print('cv2' in sys.modules, 'numpy' in sys.modules)"
    book("cvsr/light", lambda: kit.python("-c", light).stdout.decode())
    kit.installed()
    _verbs(book)


def _public(book: kit.Book, name: str, value: Any) -> None:
    if inspect.isclass(value):
        book.note(f"{name}/bases", [base.__name__ for base in value.__mro__])
        if dataclasses.is_dataclass(value):
            book.note(f"{name}/fields", [field.name for field in dataclasses.fields(value)])
        if issubclass(value, BaseException):
            return
        book(f"{name}/signature", _signature, value)
        for method, member in inspect.getmembers_static(value):
            if method.startswith("_") and method != "__call__":
                continue
            function = member.__func__ if isinstance(member, (staticmethod, classmethod)) else member
            kind = _signature(function) if callable(function) else type(member).__name__
            book.note(f"{name}.{method}", kind)
    elif callable(value):
        book(f"{name}/signature", _signature, value)
    else:
        book.note(name, kit.describe(value))


def _signature(value: Any) -> str:
    """Return a signature without annotations: they name types that may move."""
    signature = inspect.signature(value)
    parameters = [each.replace(annotation=inspect.Parameter.empty) for each in signature.parameters.values()]
    text = str(signature.replace(parameters=parameters, return_annotation=inspect.Signature.empty))
    return re.sub(r" at 0x[0-9a-f]+", "", text)


def _verbs(book: kit.Book) -> None:
    text = kit.cvsr("--help").stdout.decode()
    verbs = re.findall(r"^ {4}([a-z]+) {2,}", text, re.MULTILINE)
    book.note("verbs", verbs)
    book("options", _options, text)
    for verb in verbs:
        book(f"options/{verb}", lambda verb=verb: _options(kit.cvsr(verb, "--help").stdout.decode()))
    for program in ("train", "export"):
        command = ("-m", f"cvsr_converters.{program}", "--help")
        book(f"options/{program}", lambda command=command: _options(kit.python(*command).stdout.decode()))


def _options(text: str) -> dict[str, Any]:
    """Return the options of a help text with their choices, which take values, and how many positionals there are."""
    found: dict[str, Any] = {}
    for line in re.findall(r"^ {2}(-.*)$", text, re.MULTILINE):
        written = re.split(r" {2,}", line)[0]
        names = re.findall(r"(?<![\w-])--?[a-z][\w-]*", written)
        choices = re.findall(r"\{.*?\}", written)
        found[" ".join(names)] = choices[0] if choices else "value" if re.search(r" [^-\s,]", written) else "flag"
    positionals = re.search(r"positional arguments:\n((?: {2,}.*\n)+)", text)
    found["positionals"] = len(re.findall(r"^ {2}\S", positionals[1], re.MULTILINE)) if positionals else 0
    return found
