"""The rules of the house that no linter knows: see CONTRIBUTING.md."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import pytest

TOP = {"cvsr": 12, "converters/cvsr_converters": 6}
OPTION_PARSERS = {"argparse", "optparse", "getopt"}


def modules(folder: Path) -> list[tuple[Path, ast.Module]]:
    found = [(path, ast.parse(path.read_text("utf-8"))) for path in sorted(folder.rglob("*.py"))]
    assert len(found) > 50, f"{folder} has no modules: the test looks in the wrong place"
    return found


def imported(tree: ast.Module) -> set[str]:
    """Return the top-level packages that a module imports, anywhere in it."""
    names = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    return {name.partition(".")[0] for name in names}


def test_a_class_name_has_one_meaning(root):
    classes = [
        (node.name, path.relative_to(root).as_posix())
        for path, tree in modules(root / "cvsr")
        for node in tree.body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    ]
    counts = Counter(name for name, _ in classes)
    assert not [place for place in classes if counts[place[0]] > 1]


def test_only_the_command_line_parses_options(root):
    users = [path for path, tree in modules(root / "cvsr") if imported(tree) & OPTION_PARSERS]
    assert users, "the command line parses its options with argparse"
    assert not [path for path in users if path.parent != root / "cvsr" / "cli"]


def test_one_module_imports_cv2(root):
    users = [path.relative_to(root).as_posix() for path, tree in modules(root / "cvsr") if "cv2" in imported(tree)]
    assert users == ["cvsr/_cv2.py"]


@pytest.mark.parametrize("package", TOP)
def test_few_modules_stand_at_the_top(root, package):
    found = sorted(path.name for path in (root / package).glob("*.py"))
    assert 0 < len(found) <= TOP[package], f"{found}: put new modules into a folder by subject"


@pytest.mark.parametrize("package", TOP)
def test_every_folder_says_what_it_is_for(root, package):
    for path, tree in modules(root / package):
        if path.name == "__init__.py":
            assert ast.get_docstring(tree), path
    missing = [path.parent for path, _ in modules(root / package) if not (path.parent / "__init__.py").exists()]
    assert not missing, missing
