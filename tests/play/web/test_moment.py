"""A moment as bytes holds what the scene holds."""

from typing import Any

import cv2
import numpy as np
import pytest
from told import read

from world_models.envs.keys import Key
from world_models.play.scene import Curve, Panel, Pressed, Scene
from world_models.play.web import moment as module
from world_models.play.web.moment import MOST_POINTS, Encoder, points

NOISE = np.random.default_rng(0).integers(256, size=(64, 64, 3), dtype=np.uint8)


def scene_of(*pictures: np.ndarray | None, **more: Any) -> Scene:
    panels = tuple(Panel(f"panel {number}", one) for number, one in enumerate(pictures))
    return Scene(panels, {"step": "3"}, (Pressed(Key("left", "steer"), True),), **more)


def test_everything_comes_back() -> None:
    smooth = cv2.resize(NOISE[:8, :8], (300, 200), interpolation=cv2.INTER_CUBIC)
    scene = scene_of(smooth, NOISE, None, notice="“hm” </script>", asks=True)
    told, (large, small, none) = read(Encoder().encode(scene, {"pins": [1]}))
    assert large is not None and none is None
    np.testing.assert_array_equal(small, NOISE)
    assert np.abs(large.astype(int) - smooth).mean() < 3
    assert [panel["label"] for panel in told["panels"]] == ["panel 0", "panel 1", "panel 2"]
    assert told["header"] == [["step", "3"]] and told["held"] == ["left"]
    assert (told["notice"], told["asks"], told["pins"]) == ("“hm” </script>", True, [1])


def test_a_picture_is_compressed_anew_only_where_it_changed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[np.ndarray] = []
    compressed = module.compressed
    monkeypatch.setattr(module, "compressed", lambda one: made.append(one) or compressed(one))
    encoder, picture = Encoder(), NOISE.copy()
    first = encoder.encode(scene_of(picture, NOISE), {})
    assert encoder.encode(scene_of(picture.copy(), NOISE), {}) == first and len(made) == 2
    picture[0, 0] = 255 - picture[0, 0]
    _, (shown, _) = read(encoder.encode(scene_of(picture, NOISE), {}))
    np.testing.assert_array_equal(shown, picture)
    assert len(made) == 3


@pytest.mark.parametrize("length", [1, 2, MOST_POINTS, MOST_POINTS + 1, 1000])
def test_long_curves_are_thinned_and_keep_their_ends(length: int) -> None:
    kept = points(Curve("gap", tuple(float(value) for value in range(length))))
    assert kept[0] == 0 and kept[-1] == length - 1 and len(kept) <= MOST_POINTS + 1
    assert kept == sorted(set(kept))


def test_what_is_no_number_is_none() -> None:
    scene = scene_of(NOISE, curves=(Curve("gap", (1.0, float("nan"), float("inf"))),))
    told, _ = read(Encoder().encode(scene, {}))
    assert told["curves"] == [{"label": "gap", "values": [1.0, None, None]}]
