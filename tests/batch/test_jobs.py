from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from cvsr.batch import jobs as folder
from cvsr.batch.jobs import Input, Job
from cvsr.errors import FileError
from cvsr.io import atomic
from cvsr.options import Options


@pytest.fixture
def tree(tmp_path, monkeypatch) -> Path:
    """A folder of (empty) images and other things; the current folder."""
    for name in ["b.JPG", "a.png", "notes.txt", ".hidden.png", "sub/c.tif", "sub/deep/d.webp", ".git/e.png"]:
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path / "in"


def found(*arguments: str, **options) -> list[str]:
    return [source.path.as_posix() for source in folder.find(arguments, **options)]


def targets(sources, scale=2, **options) -> list[str]:
    return [job.target.as_posix() for job in folder.plan(sources, Options(scale=scale), **options)]


class TestFind:
    def test_a_folder_gives_its_images_in_order(self, tree):
        assert found("in") == ["in/a.png", "in/b.JPG"]

    def test_recursion_enters_what_is_not_hidden(self, tree):
        assert found("in", recursive=True) == ["in/a.png", "in/b.JPG", "in/sub/c.tif", "in/sub/deep/d.webp"]

    def test_files_are_taken_as_they_are_named(self, tree):
        assert found("in/notes.txt", "in/nix.png", "in/.hidden.png") == ["in/notes.txt", "in/nix.png", "in/.hidden.png"]

    def test_each_file_comes_once(self, tree):
        assert found("in/a.png", "in", "./in/a.png", "in/*.png") == ["in/a.png", "in/b.JPG"]

    def test_patterns_that_the_shell_left(self, tree):
        assert found("in/*.png") == ["in/a.png"]
        assert found("in/**/*.tif") == ["in/sub/c.tif"]
        assert found("in/*.gif") == []
        assert found("i*", recursive=True)[0] == "in/a.png"
        assert found("i*") == []

    def test_a_file_whose_name_looks_like_a_pattern(self, tree):
        (tree / "a[1].png").touch()
        assert found("in/a[1].png") == ["in/a[1].png"]
        assert not folder.is_group("in/a[1].png")

    def test_results_are_no_inputs(self, tree):
        for name in ["a_x2.png", "a_x1.5.jpg", "a_1920x1080.png", "a_x2_x2.png", "sub/c_x4.tif"]:
            (tree / name).touch()
        assert found("in", recursive=True) == ["in/a.png", "in/b.JPG", "in/sub/c.tif", "in/sub/deep/d.webp"]
        assert found("in/*.png") == ["in/a.png"]

    def test_originals_named_like_results_are_inputs(self, tree):
        for name in ["scan_x2.png", "photo_1920x1080.png", "a_x2b.png"]:
            (tree / name).touch()
        assert found("in") == ["in/a.png", "in/a_x2b.png", "in/b.JPG", "in/photo_1920x1080.png", "in/scan_x2.png"]

    def test_the_folder_of_results_is_left_out(self, tree):
        (tree / "out/sub").mkdir(parents=True)
        (tree / "out/sub/z.png").touch()
        assert "in/out/sub/z.png" in found("in", recursive=True)
        assert "in/out/sub/z.png" not in found("in", recursive=True, leave_out=Path("in/out"))
        assert found("in", recursive=True, leave_out=Path("in")) == found("in", recursive=True)


class TestPlan:
    def test_beside_the_input(self, tree):
        assert targets(folder.find(["in"], recursive=True)) == [
            "in/a_x2.png",
            "in/b_x2.JPG",
            "in/sub/c_x2.tif",
            "in/sub/deep/d_x2.webp",
        ]

    def test_mirrored_below_the_output(self, tree):
        sources = list(folder.find(["in"], recursive=True))
        assert targets(sources, 4, output=Path("out")) == [
            "out/a_x4.png",
            "out/b_x4.JPG",
            "out/sub/c_x4.tif",
            "out/sub/deep/d_x4.webp",
        ]

    def test_one_file_by_name(self, tree):
        assert targets([Input(tree / "a.png")], output=Path("r.jpg"), into_folder=False) == ["r.jpg"]

    def test_dots_in_names_survive(self, tree):
        assert targets([Input(Path("a.b.c.png"))], 1.5) == ["a.b.c_x1.5.png"]

    def test_what_is_there_is_skipped_unless_overwritten(self, tree):
        (tree / "a_x2.png").touch()
        [job] = folder.plan([Input(tree / "a.png")], Options())
        assert "exists already" in job.skip
        [job] = folder.plan([Input(tree / "a.png")], Options(), overwrite=True)
        assert job == Job(tree / "a.png", tree / "a_x2.png")

    @pytest.mark.parametrize("overwrite", [False, True])
    def test_an_input_is_never_its_own_target(self, tree, overwrite):
        (tree / "link.png").symlink_to(tree / "a.png")
        for target in (tree / "a.png", tree / "link.png", Path("in/sub/../a.png")):
            [job] = folder.plan(
                [Input(tree / "a.png")], Options(), output=target, into_folder=False, overwrite=overwrite
            )
            assert "would overwrite its own input" in job.refusal

    def test_an_input_is_never_the_target_of_another(self, tree):
        (tree / "a_x2.png").touch()
        sources = [Input(tree / "a.png"), Input(tree / "a_x2.png")]
        first, second = folder.plan(sources, Options(), overwrite=True)
        assert "another input" in first.refusal
        assert not second.refusal

    def test_results_that_the_shell_listed_are_skipped(self, tree):
        (tree / "a_x2.png").touch()
        sources = [Input(tree / "a.png"), Input(tree / "a_x2.png")]
        first, second = folder.plan(sources, Options())
        assert "exists already" in first.skip
        assert "is the result of" in second.skip

    def test_two_results_of_one_name_are_refused(self, tree):
        sources = [Input(Path("x/a.png")), Input(Path("x/a.jpg")), Input(Path("y/a.png"))]
        jobs = folder.plan(sources, Options(format="png"), output=Path("out"))
        assert [bool(job.refusal) for job in jobs] == [False, True, True]
        assert "same name as the result of" in jobs[1].refusal


class TestAtomic:
    def test_the_file_appears_at_the_end_alone(self, tmp_path):
        path = tmp_path / "new" / "r.png"
        with atomic.atomic(path) as stream:
            stream.write(b"half")
            stream.flush()
            assert not path.exists()
            [temporary] = path.parent.iterdir()
            assert temporary.name.startswith(".cvsr-")
        assert path.read_bytes() == b"half"
        assert list(path.parent.iterdir()) == [path]

    @pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError, FileError])
    def test_nothing_is_left_of_a_failure(self, tmp_path, error):
        path = tmp_path / "r.png"
        path.write_bytes(b"before")
        with pytest.raises(error), atomic.atomic(path) as stream:
            stream.write(b"half")
            raise error
        assert path.read_bytes() == b"before"
        assert list(tmp_path.iterdir()) == [path]

    def test_a_full_disk_is_said(self, tmp_path):
        full = pytest.raises(FileError, match=r"r\.png cannot be written: out of space.*No space")
        with full as caught, atomic.atomic(tmp_path / "r.png"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        assert isinstance(caught.value, OSError)
        assert not list(tmp_path.iterdir())

    def test_a_file_where_a_folder_should_be_is_said(self, tmp_path):
        (tmp_path / "file").touch()
        with pytest.raises(FileError, match="cannot be written"), atomic.atomic(tmp_path / "file" / "r.png"):
            pass

    @pytest.mark.skipif(os.name == "nt", reason="permissions of POSIX")
    def test_the_permissions_are_those_of_any_new_file(self, tmp_path):
        with atomic.atomic(tmp_path / "r.png"):
            pass
        (tmp_path / "plain").touch()
        assert stat.S_IMODE((tmp_path / "r.png").stat().st_mode) == stat.S_IMODE((tmp_path / "plain").stat().st_mode)

    def test_the_longest_name_can_be_written(self, tmp_path):
        path = tmp_path / ("n" * 251 + ".png")
        with atomic.atomic(path):
            pass
        assert path.exists()


class TestLeftovers:
    def name(self, pid: int, host: str | None = None) -> str:
        return f".cvsr-{host or atomic._host()}-{pid}-0123abcd.part"

    def gone(self) -> int:
        process = subprocess.Popen([sys.executable, "-c", ""])
        process.wait()
        return process.pid

    def test_only_temporary_files_of_dead_runs_are_removed(self, tmp_path):
        dead = self.gone()
        keep = ["photo.png", ".cvsr-notes", self.name(os.getppid()), self.name(dead, "0badcafe"), self.name(1)]
        for name in [*keep, self.name(dead)]:
            (tmp_path / name).touch()
        assert atomic.remove_leftovers(tmp_path) == [tmp_path / self.name(dead)]
        assert {path.name for path in tmp_path.iterdir()} == set(keep)

    def test_a_container_that_gives_every_run_the_same_number(self, tmp_path):
        stale = tmp_path / self.name(os.getpid())
        stale.touch()
        with atomic.atomic(tmp_path / "r.png"):
            assert atomic.remove_leftovers(tmp_path) == [stale]

    def test_a_folder_that_is_not_there(self, tmp_path):
        assert atomic.remove_leftovers(tmp_path / "nix") == []
