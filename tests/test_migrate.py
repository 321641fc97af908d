"""Scripts for cv2.dnn_superres become scripts for cvsr.dnn_superres, and nothing else of them changes."""

import ast
import os
import re
import stat
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvsr.cli import verbs
from cvsr.errors import FileError
from cvsr.migrate import migrated

CHANGES = {  # what it is: (before, after)
    "the module by its place": (
        "import cv2\n\nsr = cv2.dnn_superres.DnnSuperResImpl_create()\nimage = cv2.imread('a.png')\n",
        "import cv2\nfrom cvsr import dnn_superres\n\nsr = dnn_superres.DnnSuperResImpl_create()\n"
        "image = cv2.imread('a.png')\n",
    ),
    "another name for cv2": (
        "import os, cv2 as cv  # both\nsr = cv.dnn_superres.DnnSuperResImpl.create()\n",
        "import os, cv2 as cv  # both\nfrom cvsr import dnn_superres\nsr = dnn_superres.DnnSuperResImpl.create()\n",
    ),
    "an import from cv2": ("from cv2 import dnn_superres\n", "from cvsr import dnn_superres\n"),
    "under another name": (
        "from  cv2  import (dnn_superres as sr)  # x\n",
        "from  cvsr  import (dnn_superres as sr)  # x\n",
    ),
    "among others": (
        "from cv2 import imread, dnn_superres, imwrite\n",
        "from cv2 import imread, imwrite\nfrom cvsr import dnn_superres\n",
    ),
    "the first of others": (
        "def f():\n    from cv2 import dnn_superres as sr, imwrite  # y\n    return sr\n",
        "def f():\n    from cv2 import imwrite  # y\n    from cvsr import dnn_superres as sr\n    return sr\n",
    ),
    "the last, in brackets": (
        "from cv2 import (\n    imread,  # to read\n    dnn_superres,\n)\n",
        "from cv2 import (\n    imread,\n)\nfrom cvsr import dnn_superres\n",
    ),
    "the submodule under a name": ("import cv2.dnn_superres as sr\n", "import cvsr.dnn_superres as sr\n"),
    "the submodule": (
        "import cv2.dnn_superres\ncv2.dnn_superres.DnnSuperResImpl_create()\n",
        "import cv2\nfrom cvsr import dnn_superres\ndnn_superres.DnnSuperResImpl_create()\n",
    ),
    "from the submodule": (
        "from cv2.dnn_superres import DnnSuperResImpl_create as make\n",
        "from cvsr.dnn_superres import DnnSuperResImpl_create as make\n",
    ),
    "the class of cv2": (
        "import cv2\nsr = cv2.dnn_superres_DnnSuperResImpl.create()\n",
        "import cv2\nfrom cvsr import dnn_superres\nsr = dnn_superres.DnnSuperResImpl.create()\n",
    ),
    "a name that is taken": (
        "import cv2\ndnn_superres = cv2.dnn_superres.DnnSuperResImpl_create()\n",
        "import cv2\nfrom cvsr import dnn_superres as cvsr_dnn_superres\n"
        "dnn_superres = cvsr_dnn_superres.DnnSuperResImpl_create()\n",
    ),
    "one line": (
        "import cv2; sr = cv2.dnn_superres.DnnSuperResImpl_create()\n",
        "import cv2; from cvsr import dnn_superres; sr = dnn_superres.DnnSuperResImpl_create()\n",
    ),
    "in a function": (
        "def f():\n\timport cv2\n\treturn cv2.dnn_superres\n\ndef g():\n    import cv2\n    return cv2.dnn_superres\n",
        "def f():\n\timport cv2\n\tfrom cvsr import dnn_superres\n\treturn dnn_superres\n\n"
        "def g():\n    import cv2\n    from cvsr import dnn_superres\n    return dnn_superres\n",
    ),
    "where the import may fail": (
        "try:\n    import cv2\nexcept ImportError:\n    cv2 = None\nx = cv2.dnn_superres\n",
        "try:\n    import cv2\n    from cvsr import dnn_superres\nexcept ImportError:\n    cv2 = None\n"
        "x = dnn_superres\n",
    ),
    "no end of the last line": ("import cv2.dnn_superres as s", "import cvsr.dnn_superres as s"),
    "Windows": (
        "import cv2\r\nx = cv2.dnn_superres\r\n",
        "import cv2\r\nfrom cvsr import dnn_superres\r\nx = dnn_superres\r\n",
    ),
    "behind letters of several bytes": (
        "import cv2\nx = 'größe', cv2.dnn_superres, '→', cv2.dnn_superres\n",
        "import cv2\nfrom cvsr import dnn_superres\nx = 'größe', dnn_superres, '→', dnn_superres\n",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_the_change(name):
    before, after = CHANGES[name]
    change = migrated(before.encode())
    assert change.after.decode() == after
    assert change.left == [] and change.changed
    assert not migrated(change.after).changed, "once is enough"


SAME = {
    "nothing of it": "import cv2\ncv2.imread('dnn_superres')\n",
    "another module's": "import mine\nmine.dnn_superres.f()\nfrom mine import dnn_superres\n",
    "a string": "x = 'import cv2.dnn_superres'  # cv2.dnn_superres\n",
    "a folder's own": "from .cv2 import dnn_superres\n",
    "done already": "from cvsr import dnn_superres\ndnn_superres.DnnSuperResImpl_create()\n",
    "empty": "",
}


@pytest.mark.parametrize("name", SAME)
def test_what_is_not_cv2s_stays(name):
    change = migrated(SAME[name].encode())
    assert not change.changed and change.left == []


LEFT = {
    "import cv2\nf = getattr(cv2, 'dnn_superres')\n": (2, "getattr"),
    "import cv2\nif hasattr(cv2, 'dnn_superres'): pass\n": (2, "hasattr"),
    "import importlib\nimportlib.import_module('cv2.dnn_superres')\n": (2, "import_module"),
    "import cv2\ncv2.dnn_superres = None\n": (2, "assigned"),
    "from cv2 import *\ndnn_superres.DnnSuperResImpl_create()\n": (2, r"import \*"),
    "import cv2\nx = (cv2.  # here\n    dnn_superres)\n": (2, "cannot locate it"),
}


@pytest.mark.parametrize("text", LEFT)
def test_what_is_left_is_told(text):
    change = migrated(text.encode())
    ((line, why),) = change.left
    assert not change.changed and line == LEFT[text][0]
    assert re.search(LEFT[text][1], why)


def test_an_f_string_is_changed_or_told():
    """Before Python 3.12, the syntax tree does not say where the parts of an f-string are."""
    change = migrated(b"import cv2\nprint(f'{1:>{3}} {cv2.dnn_superres}')\n")
    assert change.left or b"{dnn_superres}" in change.after
    ast.parse(change.after)


@pytest.mark.parametrize("encoding", ["latin-1", "utf-8-sig", "cp1251"])
def test_the_encoding_stays(encoding):
    cookie = "" if encoding == "utf-8-sig" else f"# -*- coding: {encoding} -*-\n"
    word = "Ж" if encoding == "cp1251" else "ü"
    change = migrated(f"{cookie}import cv2\nx = '{word}', cv2.dnn_superres\n".encode(encoding))
    wanted = f"{cookie}import cv2\nfrom cvsr import dnn_superres\nx = '{word}', dnn_superres\n"
    assert change.after == wanted.encode(encoding)


@pytest.mark.parametrize("data", [b"print 'two'", b"x = (", b"\xff\xfe", b"# coding: nonsense\n", b"a\0b", b"(" * 5000])
def test_what_does_not_parse_is_refused(data):
    with pytest.raises(FileError, match=r"Python 3\.\d+ cannot parse it"):
        migrated(data)


LINES = [line for before, _ in CHANGES.values() for line in before.splitlines()]


@given(st.lists(st.sampled_from(LINES), max_size=6), st.sampled_from(["\n", "\r\n"]))
def test_any_mixture_stays_a_script(lines, newline):
    try:
        change = migrated(newline.join(lines).encode())
    except FileError:
        return
    ast.parse(change.after)
    assert not migrated(change.after).changed


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "my script.py"
    path.write_bytes(b"import cv2\r\nsr = cv2.dnn_superres.DnnSuperResImpl_create()")
    return path


def test_the_command_shows_a_difference(script, capsys):
    before = script.read_bytes()
    assert verbs.main(["migrate", str(script)]) == 1
    out = capsys.readouterr().out
    assert f"--- {script}" in out and "+from cvsr import dnn_superres" in out
    assert "+sr = dnn_superres.DnnSuperResImpl_create()\n\\ No newline at end of file\n" in out
    assert script.read_bytes() == before


@pytest.mark.skipif(os.name == "nt", reason="Windows has other modes")
def test_the_command_writes(script, capsys):
    script.chmod(0o754)
    link = script.with_name("link.py")
    link.symlink_to(script)
    assert verbs.main(["migrate", "--write", str(link)]) == 0
    assert link.is_symlink() and stat.S_IMODE(script.stat().st_mode) == 0o754
    wanted = b"import cv2\r\nfrom cvsr import dnn_superres\r\nsr = dnn_superres.DnnSuperResImpl_create()"
    assert script.read_bytes() == wanted
    assert sorted(path.name for path in script.parent.iterdir()) == ["link.py", "my script.py"]
    assert verbs.main(["migrate", str(script)]) == 0, "nothing is left to do"
    assert "link.py: changed" in capsys.readouterr().out


def test_files_that_cannot_be_changed_do_not_keep_the_others(script, capsys):
    broken = script.with_name("broken.py")
    broken.write_text("def")
    missing = script.with_name("missing.py")
    assert verbs.main(["migrate", "--write", str(broken), str(missing), str(script)]) == 2
    said = capsys.readouterr().err
    assert "broken.py: Python 3." in said and "cannot parse it" in said
    assert "missing.py: it cannot be read: No such file" in said
    assert b"cvsr" in script.read_bytes() and broken.read_text() == "def"


def test_a_write_that_fails_leaves_the_file(script, capsys, monkeypatch):
    before = script.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", full)
    assert verbs.main(["migrate", "--write", str(script)]) == 2
    assert "No space left" in capsys.readouterr().err
    assert script.read_bytes() == before and [path.name for path in script.parent.iterdir()] == [script.name]


def test_neither_opencv_nor_the_script_is_loaded(script):
    code = "import sys; from cvsr import cli; cli.main(sys.argv[1:]); sys.exit('cv2' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code, "migrate", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_page_about_it_needs_no_more_change(root):
    page = (root / "examples" / "migrate.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        change = migrated(block.encode())
        assert not change.changed and change.left == []
