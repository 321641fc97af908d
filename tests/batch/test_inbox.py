"""Which files of a watched folder are ready."""

from __future__ import annotations

import shutil

from cvsr.batch import inbox as watch
from cvsr.batch.inbox import Inbox
from cvsr.batch.jobs import Input


def test_files_are_ready_when_they_have_not_changed_for_the_settling_time(tmp_path):
    path = tmp_path / "a.png"
    inbox, sources = Inbox(2), [Input(path)]
    assert inbox.look(sources, 0) == [] and inbox.next_due() is None
    path.write_bytes(b"1")
    assert inbox.look(sources, 1) == [] and inbox.next_due() == 3
    assert inbox.look(sources, 2.9) == []
    path.write_bytes(b"12")
    assert inbox.look(sources, 3) == [] and inbox.next_due() == 5
    [file] = inbox.look(sources, 5)
    assert file.source.path == path and not file.changed()
    assert not inbox.broken(file, 5) and inbox.next_due() == 5 + watch.PATIENCE * 2, "its writer may be slow"
    [file] = inbox.look(sources, 13)
    assert inbox.broken(file, 13) and inbox.look(sources, 99) == []
    shutil.copy(path, tmp_path / "b.png")
    (tmp_path / "b.png").rename(path)  # of the same size: another file all the same
    assert inbox.look(sources, 100) == [] and inbox.look(sources, 102) != []
