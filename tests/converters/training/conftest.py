"""What the tests of training share."""

import pytest


@pytest.fixture
def folder(tmp_path):
    """Three images of odd sizes: two of color, one gray."""
    import cv2
    from skimage import data as photos

    folder = tmp_path / "images"
    folder.mkdir()
    photo = cv2.cvtColor(photos.astronaut(), cv2.COLOR_RGB2BGR)
    cv2.imwrite(str(folder / "a.png"), photo[:101, :83])
    cv2.imwrite(str(folder / "b.png"), photo[100:190, 200:331])
    cv2.imwrite(str(folder / "c.png"), photo[200:280, 100:180, 1])
    return folder
