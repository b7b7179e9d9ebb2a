"""What a part of a configuration refuses names its key as it is typed."""

from dataclasses import dataclass

import pytest

from world_models.chains.catalogue import schemas
from world_models.config.compose import compose_config
from world_models.config.parts import at_place
from world_models.config.schema import register


@dataclass
class Part:
    a: int = 0
    b: int = 0


@pytest.mark.parametrize(
    ("stage", "key", "value"),
    [
        ("rollout", "stage.episodes", "-1"),
        ("pipeline", "stage.rollout.episodes", "-1"),
        ("pipeline", "stage.mdrnn.dropout", "2"),
        ("pipeline", "stage.controller.dream.temperature", "-1"),
        ("pixel_pipeline", "stage.evaluate.windows", "-1"),
        ("controller", "stage.dream.temperature", "-1"),
        ("rem", "stage.world.width", "-1"),
        ("rem", "stage.schedule.world.first", "0"),
        ("rem", "stage.epochs", "0"),
    ],
)
def test_a_refused_key_is_named_as_it_was_typed(stage: str, key: str, value: str) -> None:
    register(schemas())
    with pytest.raises(ValueError, match=r"is -?\d") as caught:
        compose_config([f"stage={stage}", f"{key}={value}"])
    assert str(caught.value).startswith(f"{key} is ")


@pytest.mark.parametrize(
    ("sentence", "place", "expected"),
    [
        ("stage.a is 1 and stage.b 2", "stage.vae", "stage.vae.a is 1 and stage.vae.b 2"),
        ("stage.dream.a is 1", "stage.controller.dream", "stage.controller.dream.a is 1"),
        ("stage.dream.a is 1", "stage.dream", "stage.dream.a is 1"),
        ("run stage=vae in a stage. Or", "stage.vae", "run stage=vae in a stage. Or"),
        ("upstage.a is 1", "stage.vae", "upstage.a is 1"),
        ("train M with stage.ab=1", "stage.vae", "train M with stage.ab=1"),
    ],
)
def test_sentences_are_put_where_their_part_stands(
    sentence: str, place: str, expected: str
) -> None:
    assert at_place(sentence, place, Part) == expected
