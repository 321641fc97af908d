"""The report of a conversion: as text for a terminal, as Markdown for a model card, or as JSON."""

import json
from dataclasses import asdict, dataclass, field

TOLERANCE = 1e-4  # of the range of the output


@dataclass(frozen=True)
class Row:
    """The result of one runtime: ``result``: ok, wrong or error; ``error``: the largest, as a part of the range."""

    runtime: str
    engine: str
    result: str
    error: float | None = None
    ms: float | None = None
    note: str = ""

    def cells(self):
        """Return the columns of its row in a table."""
        error = "" if self.error is None else f"{self.error:.1e}"
        ms = "" if self.ms is None else f"{self.ms:.2f}"
        return self.runtime, self.engine, self.result, error, ms, self.note


@dataclass
class Report:
    """The results of :func:`verify`, one row for each runtime and engine."""

    name: str
    tolerance: float = TOLERANCE
    rows: list[Row] = field(default_factory=list)

    @property
    def ok(self):
        """Return whether every runtime gave correct results, and OpenCV was among them."""
        tried = any(row.runtime.startswith("OpenCV") for row in self.rows)
        return tried and all(row.result == "ok" for row in self.rows)

    def markdown(self):
        """Return the report as a Markdown table."""
        lines = ["| runtime | engine | result | max error | ms | note |", "|---|---|---|---|---|---|"]
        return "\n".join([*lines, *(f"| {' | '.join(row.cells())} |" for row in self.rows)])

    def json(self):
        """Return the report as JSON text."""
        return json.dumps(asdict(self) | {"ok": self.ok}, indent=1)


@dataclass
class Conversion:
    """The report of :func:`cvsr_converters.convert`.

    ``source``: the name of the converted model; ``format``: in words. ``target``: onnx, standalone or pb. ``facts``:
    those in the file (the fields of :class:`cvsr.ModelInfo`). ``notes``: what was assumed, dropped or replaced, and how
    color and range were detected. ``proof``: the comparison, row by row. ``sha256`` and ``bytes``: of the file.
    ``seconds``: from the loaded network to the end of the proof.
    """

    source: str
    format: str
    target: str
    facts: dict = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    proof: Report = field(default_factory=lambda: Report("model"))
    sha256: str = ""
    bytes: int = 0
    seconds: float = 0.0

    @property
    def ok(self):
        """Return whether every OpenCV that was tried gave correct results."""
        return self.proof.ok

    def text(self):
        """Return the report in lines for a terminal."""
        facts = ", ".join(f"{key} {_plain(value)}" for key, value in self._facts())
        lines = [f"{self.source} ({self.format}) → {self.target}: {facts}", *(f"- {note}" for note in self.notes)]
        rows = [("runtime", "engine", "result", "max error", "ms", ""), *(row.cells() for row in self.proof.rows)]
        widths = [max(len(row[i]) for row in rows) for i in range(5)]
        for row in rows:
            lines.append("  ".join([*(cell.ljust(w) for cell, w in zip(row, widths, strict=False)), row[5]]).rstrip())
        return "\n".join(lines)

    def markdown(self):
        """Return the report as Markdown for a model card."""
        facts = "\n".join(f"- {key}: {_plain(value)}" for key, value in self._facts())
        notes = "".join(f"\n- {note}" for note in self.notes)
        limit = f"Largest difference as a part of the range; tolerance: {self.proof.tolerance:g}."
        head = f"Converted from {self.source} ({self.format}) to {self.target}.\n\n{facts}"
        return f"{head}\n{notes}\n\n{self.proof.markdown()}\n\n{limit}\n"

    def _facts(self):
        """Return the facts that are set."""
        return [(key, value) for key, value in self.facts.items() if value not in (None, "", "none", (), [])]

    def json(self):
        """Return the report as JSON text."""
        return json.dumps(asdict(self) | {"ok": self.ok}, indent=1)

    @classmethod
    def from_json(cls, text):
        """Return the report that :meth:`json` wrote."""
        values = json.loads(text)
        values.pop("ok")
        proof = values.pop("proof")
        rows = [Row(**row) for row in proof.pop("rows")]
        return cls(proof=Report(**proof, rows=rows), **values)


def _plain(value):
    if isinstance(value, (list, tuple)):
        return ", ".join(f"{n:g}" for n in value)
    return f"{value:g}" if isinstance(value, float) else str(value)
