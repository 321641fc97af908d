"""A small photo to upload."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="module")
def cat(photo):
    return photo("chelsea")[100:180, 100:220]
