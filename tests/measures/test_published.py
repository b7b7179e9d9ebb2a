"""Published scores belong to environments that are played here."""

from world_models.config.compose import compose_config
from world_models.measures.published import SCORES, published_for
from world_models.search.reference import CAR_RACING


def test_each_environment_is_one_of_ours() -> None:
    ours = {
        compose_config(["stage=runs", f"env={name}"]).config.env.id
        for name in ("car_racing", "take_cover")
    }
    assert set(SCORES) == ours
    assert published_for("Somebody/Else-v0") == []


def test_the_papers_agent_scores_what_its_published_search_came_to() -> None:
    best = published_for("CarRacing-v3")[0]
    reached = max(row[2] for row in CAR_RACING if row[2] == row[2])
    assert abs(best.mean - reached) < best.std
    assert [row.mean for row in published_for("CarRacing-v3")] == [906, 788, 632]
