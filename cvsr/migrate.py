"""Change a script's ``cv2.dnn_superres`` to ``cvsr.dnn_superres``: imports, and attributes of ``cv2``.

- ``from cv2 import dnn_superres, imread`` → ``from cv2 import imread``, and ``from cvsr import dnn_superres`` after it
- ``import cv2.dnn_superres as sr`` → ``import cvsr.dnn_superres as sr``
- ``cv2.dnn_superres.DnnSuperResImpl_create()`` → ``dnn_superres.DnnSuperResImpl_create()``, and
  ``from cvsr import dnn_superres`` after the import of cv2

The syntax tree locates these places, and the rest of the text stays as it is. Neither cv2 nor the script is imported.
"""

import ast
import io
import re
import sys
import tokenize
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field

from cvsr.errors import FileError

_MODULE = "dnn_superres"
_CLASS = f"{_MODULE}_DnnSuperResImpl"  # the other name of the class in cv2
_NAMES = _MODULE, f"cvsr_{_MODULE}"  # of the drop-in: the first that the script does not use otherwise


@dataclass
class Migrated:
    """A script's bytes before and after the change; ``left``: (line, reason) of the places that were not changed."""

    before: bytes
    after: bytes
    encoding: str
    left: list[tuple[int, str]]

    @property
    def changed(self) -> bool:
        """Whether the change did anything."""
        return self.before != self.after


def migrated(source: bytes) -> Migrated:
    """Change a Python script; encoding, line endings and all other text stay the same. Raises FileError."""
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(source).readline)
        text = source.decode(encoding)
        script = _Script(text, _parsed(text))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        version = f"{sys.version_info[0]}.{sys.version_info[1]}"
        raise FileError(f"Python {version} cannot parse it: {error}") from error
    script.change()
    after = script.edited()
    try:
        _parsed(after)
    except SyntaxError as error:
        raise FileError(f"changing its imports would break it, so change them by hand: {error}") from error
    return Migrated(source, after.encode(encoding), encoding, sorted(script.left))


def _parsed(text: str) -> ast.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the script itself
        return ast.parse(text)


@dataclass
class _Bindings:
    """The names bound to cv2 in a script, with the statements that bind them, and all other names."""

    cv2: dict[str, list[ast.stmt]] = field(default_factory=dict[str, list[ast.stmt]])
    others: set[str] = field(default_factory=set[str])
    star: bool = False

    def take(self, statement: ast.Import | ast.ImportFrom) -> None:
        """Add the names that an import binds."""
        module = statement.module if isinstance(statement, ast.ImportFrom) else None
        for alias in statement.names:
            bound = alias.asname or alias.name.partition(".")[0]
            if isinstance(statement, ast.ImportFrom):
                is_cv2 = module == "cv2" and alias.name == "cv2"
            else:
                is_cv2 = alias.name == "cv2" or (alias.name.startswith("cv2.") and not alias.asname)
            if is_cv2:
                self.cv2.setdefault(bound, []).append(statement)
            elif not (module == "cv2" and alias.name == _MODULE):
                self.others.add(bound)
            self.star |= module == "cv2" and alias.name == "*"


class _Script:
    """A script and the edits to make. Positions are bytes of UTF-8, as in the syntax tree."""

    def __init__(self, text: str, tree: ast.Module) -> None:
        self.tree = tree
        self.lines = [line.encode() for line in re.findall(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+$", text)]
        self.starts = [0]
        for line in self.lines:
            self.starts.append(self.starts[-1] + len(line))
        self.data = b"".join(self.lines)
        self.newline = next((line[len(line.rstrip(b"\r\n")) :] for line in self.lines), b"") or b"\n"
        self.edits: list[tuple[int, int, bytes]] = []
        self.left: list[tuple[int, str]] = []

    def edited(self) -> str:
        """Return the text with all edits made."""
        data = self.data
        for start, end, new in sorted(self.edits, reverse=True):
            data = data[:start] + new + data[end:]
        return data.decode()

    def change(self) -> None:
        """Collect the edits, and the places that are not changed."""
        found = _Bindings()
        statements: list[ast.Import | ast.ImportFrom] = []
        for node in ast.walk(self.tree):
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                found.take(node)
                statements.append(node)
            elif isinstance(node, ast.Name):
                found.others.add(node.id)
            elif isinstance(node, ast.arg):
                found.others.add(node.arg)
            elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                found.others.add(node.name)
        for statement in statements:
            self._import(statement)
        self._uses(found, {alias.asname or alias.name for s in statements for alias in _from_cv2(s)})
        self._mentions(found)

    def _import(self, statement: ast.Import | ast.ImportFrom) -> None:
        if isinstance(statement, ast.ImportFrom):
            moved, module = _from_cv2(statement), statement.module or ""
            if module.split(".")[:2] == ["cv2", _MODULE] or (moved and len(moved) == len(statement.names)):
                self._replace(statement, rb"from(\s|\\)+cv2\b", b"cv2", b"cvsr")
            elif moved:
                self._split(statement, moved)
            return
        for alias in statement.names:
            if alias.name.split(".")[:2] == ["cv2", _MODULE]:
                new = alias.name.replace("cv2", "cvsr", 1) if alias.asname else "cv2"
                self._replace(alias, re.escape(alias.name).encode(), alias.name.encode(), new.encode())

    def _split(self, statement: ast.ImportFrom, moved: list[ast.alias]) -> None:
        """Remove names from an import from cv2, and import them from cvsr after it."""
        names = statement.names
        for place, alias in enumerate(names):
            if alias in moved and any(other not in moved for other in names[place + 1 :]):
                self.edits.append((self._span(alias)[0], self._span(names[place + 1])[0], b""))
            elif alias in moved:
                self.edits.append((self._span(names[place - 1])[1], self._span(alias)[1], b""))
        texts = [alias.name + (f" as {alias.asname}" if alias.asname else "") for alias in moved]
        self._behind(statement, f"from cvsr import {', '.join(texts)}")

    def _behind(self, statement: ast.stmt, new: str) -> None:
        """Add a statement after another: on its own line if that one has its own."""
        start, end = self._span(statement)
        head = self.data[self.starts[statement.lineno - 1] : start]
        last = (statement.end_lineno or statement.lineno) - 1
        rest = self.data[end : self.starts[last + 1]]
        if head.strip() or not re.fullmatch(rb"\s*(#.*)?\s*", rest):
            self.edits.append((end, end, f"; {new}".encode()))
            return
        at = self.starts[last] + len(self.lines[last].rstrip(b"\r\n"))
        self.edits.append((at, at, self.newline + head + new.encode()))

    def _uses(self, found: _Bindings, imported: set[str]) -> None:
        """Change the attributes of cv2, and import their replacement."""
        uses = [node for node in ast.walk(self.tree) if _reads(node, set(found.cv2))]
        name = next((name for name in _NAMES if name in imported or name not in found.others), _NAMES[-1])
        used: set[str] = set()
        for node in uses:
            assert isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
            new = name if node.attr == _MODULE else f"{name}.DnnSuperResImpl"
            whole = re.escape(f"{node.value.id}.{node.attr}").encode()
            if isinstance(node.ctx, ast.Load) and self._replace(node, whole, None, new.encode()):
                used.add(node.value.id)
            elif not isinstance(node.ctx, ast.Load):
                self._leave(node, f"{node.value.id}.{node.attr} is assigned to")
        new = f"from cvsr import {_MODULE}" + ("" if name == _MODULE else f" as {name}")
        outside = set(_outermost(self.tree))
        for alias in used:
            binding = found.cv2[alias]
            for statement in [s for s in binding if s in outside][:1] or binding:
                self._behind(statement, new)

    def _mentions(self, found: _Bindings) -> None:
        """Note lookups by name, which are not changed."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Call):
                texts = [a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
                if any(re.search(rf"\b{_MODULE}\b", text) for text in texts) and _by_name(node):
                    self._leave(node, f"{ast.unparse(node)} looks it up by name")
            elif isinstance(node, ast.Name) and found.star and node.id in (_MODULE, _CLASS):
                self._leave(node, f"{node.id} comes from `from cv2 import *`")

    def _replace(self, node: ast.expr | ast.stmt | ast.alias, pattern: bytes, old: bytes | None, new: bytes) -> bool:
        """Replace ``old`` in what ``pattern`` matches at the start of a node, or all of that if None."""
        start, end = self._span(node)
        match = re.match(pattern, self.data[start:end])
        if match is None or (old is None and match.end() != end - start):  # f-strings before Python 3.12, comments
            self._leave(node, "cannot locate it in the text")
            return False
        stop = start + match.end()
        self.edits.append((start if old is None else stop - len(old), stop, new))
        return True

    def _span(self, node: ast.expr | ast.stmt | ast.alias) -> tuple[int, int]:
        end = self.starts[(node.end_lineno or node.lineno) - 1] + (node.end_col_offset or 0)
        return self.starts[node.lineno - 1] + node.col_offset, end

    def _leave(self, node: ast.expr | ast.stmt | ast.alias, why: str) -> None:
        self.left.append((node.lineno, why))


def _from_cv2(statement: ast.Import | ast.ImportFrom) -> list[ast.alias]:
    """Return the names that an import takes from cv2 and that cvsr has."""
    if not isinstance(statement, ast.ImportFrom) or statement.module != "cv2" or statement.level:
        return []
    return [alias for alias in statement.names if alias.name == _MODULE]


def _reads(node: ast.AST, names: set[str]) -> bool:
    """Return whether a node is cv2.dnn_superres or its class, as an attribute of one of ``names``."""
    if not isinstance(node, ast.Attribute) or node.attr not in (_MODULE, _CLASS):
        return False
    return isinstance(node.value, ast.Name) and node.value.id in names


def _by_name(call: ast.Call) -> bool:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    return name in ("getattr", "hasattr", "setattr", "import_module", "__import__", "find_spec")


def _outermost(tree: ast.AST) -> Iterator[ast.stmt]:
    """Yield the statements outside functions and classes."""
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            continue
        if isinstance(child, ast.stmt):
            yield child
        yield from _outermost(child)
