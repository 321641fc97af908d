"""The data of training: pairs, their cache, degradations and teachers."""

import numpy as np
import pytest

pytest.importorskip("tensorflow")

import cv2

import cvsr
from cvsr_converters.training import data, degrade, teacher

pytestmark = pytest.mark.training


@pytest.mark.parametrize(
    "wanted",
    [data.Wanted(2), data.Wanted(3, enlarged=True), data.Wanted(4, levels=(2, 4)), data.Wanted(2, "rgb", levels=(2,))],
    ids=str,
)
def test_patches_of_all_kinds_belong_together(folder, tmp_path, wanted):
    pairs, scale = data.prepare([folder], wanted, tmp_path / "cache"), wanted.scale
    for _, batch in zip(range(5), pairs.sampler(12, 4, 0), strict=False):
        low = batch.pop("low")
        assert low.shape == (4, 12, 12, wanted.channels)
        assert set(batch) == {f"x{s}" for s in {scale, *wanted.levels}} | ({"enlarged"} if wanted.enlarged else set())
        for key, picture in batch.items():
            factor = scale if key == "enlarged" else int(key[1:])
            assert picture.shape == (4, 12 * factor, 12 * factor, wanted.channels)
            assert picture.dtype == low.dtype == np.float32 and picture.min() >= 0 and picture.max() <= 1
            # a low pixel is about the mean of the block that is its own
            blocks = picture.reshape(4, 12, factor, 12, factor, -1).mean(axis=(2, 4))
            assert np.abs(blocks - low).mean() < 0.03


def test_color_is_rgb(folder, tmp_path):
    high, low = data.pair(folder / "a.png", 2)
    made = data.pictures(high, low, data.Wanted(2, "rgb"))
    assert np.array_equal(made["low"], low[:, :, ::-1]) and np.array_equal(
        made["x2"], high[:, :, ::-1] * np.uint16(256)
    )


def test_weights_choose_between_folders(folder, tmp_path):
    other = tmp_path / "white"
    other.mkdir()
    cv2.imwrite(str(other / "a.png"), np.full((200, 200), 255, np.uint8))
    pairs = data.prepare([folder, other], data.Wanted(2), tmp_path / "cache")
    assert next(pairs.sampler(12, 64, 0, (0, 1)))["low"].min() == 1
    assert next(pairs.sampler(12, 64, 0, (1, 0)))["low"].min() < 1


def test_shrunk_images_are_there_beside_the_whole_ones(folder, tmp_path):
    pairs = data.prepare([folder], data.Wanted(2), tmp_path / "cache", shrink=(1.0, 0.5))
    sizes = [tuple(row[1:3]) for row in pairs.index]
    assert sizes[:2] == [(50, 41), (25, 21)] and len(sizes) == 6
    with pytest.raises(ValueError, match="as large as a patch of 60"):
        next(pairs.sampler(60, 4, 0))


def test_the_cache_is_used_again_and_renewed(folder, tmp_path):
    first = data.prepare([folder], data.Wanted(2), tmp_path / "cache")
    made = sorted((tmp_path / "cache").iterdir())
    assert (data.prepare([folder], data.Wanted(2), tmp_path / "cache").flat["low"] == first.flat["low"]).all()
    assert sorted((tmp_path / "cache").iterdir()) == made
    cv2.imwrite(str(folder / "d.png"), np.zeros((40, 40), np.uint8))
    assert len(data.prepare([folder], data.Wanted(2), tmp_path / "cache").index) == 4


@pytest.mark.parametrize("name", degrade.DEGRADATIONS)
def test_a_degraded_photo_is_the_photo_made_small(folder, name):
    for variant in range(6):
        high, low = data.pair(folder / "a.png", 3, name, variant)
        assert high.shape == (99, 81, 3) and low.shape == (33, 27, 3) and low.dtype == np.uint8
        mean = cv2.resize(high, (27, 33), interpolation=cv2.INTER_AREA)
        assert np.abs(mean.astype(int) - low).mean() < 12
        again = data.pair(folder / "a.png", 3, name, variant)[1]
        assert np.array_equal(low, again), "the same variant is the same picture"
    other = data.pair(folder / "a.png", 3, name, 99)[1]
    assert np.array_equal(low, other) is (name not in degrade.RANDOM)


def test_random_degradations_are_prepared_several_times_with_their_own_cache(folder, tmp_path):
    plain = data.prepare([folder], data.Wanted(2), tmp_path / "cache")
    real = data.prepare([folder], data.Wanted(2), tmp_path / "cache", "real")
    assert len(real.index) == degrade.VARIANTS * len(plain.index)
    with pytest.raises(ValueError, match="opencv-linear"):
        data.prepare([folder], data.Wanted(2), tmp_path / "cache", "real-life")


def test_every_turn_has_an_inverse():
    image = np.random.default_rng(0).random((3, 5, 2))
    assert sorted(teacher.TURNS) == list(range(8))
    for turn, inverse in enumerate(teacher.INVERSE):
        assert np.array_equal(data.turned(data.turned(image, turn), inverse), image)
    assert len({data.turned(image[:3, :3], turn).tobytes() for turn in teacher.TURNS}) == 8


@pytest.mark.parametrize("color", ["luma", "rgb"])
def test_a_target_is_blended_with_what_the_teacher_makes(folder, color):
    high, low = data.pair(folder / "b.png", 2)
    wanted = data.Wanted(2, color)
    plain, taught, blend = (
        data.unit(data.pictures(high, low, wanted, which))
        for which in (None, teacher.Teacher("cvsr-small_x2", 1, 1), teacher.Teacher("cvsr-small_x2", 0.25, 1))
    )
    image = plain["low"] if color == "luma" else plain["low"][:, :, ::-1]
    made = np.atleast_3d(cvsr.Upscaler("cvsr-small_x2")(image)).reshape(plain["x2"].shape)
    assert np.abs(taught["x2"] - (made if color == "luma" else made[:, :, ::-1])).max() < 1e-4
    assert np.abs(blend["x2"] - (0.75 * plain["x2"] + 0.25 * taught["x2"])).max() < 1e-4
    assert np.array_equal(blend["low"], plain["low"])


def test_a_teacher_turns_the_image_and_its_results_back(folder):
    """Nearest neighbours commute with turns: the mean of all is each of them."""
    high, low = data.pair(folder / "b.png", 2)
    assert low.shape[0] != low.shape[1]
    small, target = np.atleast_3d(low[:, :, 0]), np.float32(np.atleast_3d(high[:, :, 0]))
    made = [teacher.Teacher("nearest", 1, turns).blended(small, target) for turns in (1, 8)]
    assert np.allclose(*made, atol=1e-3)
    assert np.allclose(made[0][::2, ::2], small, atol=1e-3)


def test_a_teacher_that_does_not_fit_is_refused(folder, tmp_path):
    with pytest.raises(ValueError, match="its scales are 3"):
        data.prepare([folder], data.Wanted(2), tmp_path, teacher=teacher.Teacher("cvsr-small_x3"))
    with pytest.raises(ValueError, match="1 to 8 turns"):
        teacher.Teacher("cvsr-small_x2", turns=9)
    key = teacher.Teacher("cvsr-small", 0.5).key(2)
    for other in (("cvsr-small", 0.6), ("cvsr-medium", 0.5), ("cvsr-small", 0.5, 4)):
        assert key != teacher.Teacher(*other).key(2)


def test_missing_data_say_what_to_set(monkeypatch):
    monkeypatch.delenv("CVSR_DATA", raising=False)
    with pytest.raises(FileNotFoundError, match="CVSR_DATA"):
        data.images(["T91"])
