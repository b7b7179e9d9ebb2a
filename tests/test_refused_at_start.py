"""Whatever can be known at the start is refused at the start: of every stage and chain,
and nothing is written.
"""

from pathlib import Path

import pytest
from commands import newest, small, small_pipeline
from test_bad_input import refused

from world_models.chains import catalogue
from world_models.main import main

FED_BY = {
    "vae": "rollout",
    "mdrnn": "vae",
    "controller": "mdrnn",
    "evaluate": "controller",
    "pixel": "rollout",
    "autoencoder": "rollout",
    "tokenizer": "rollout",
}
"""Which run of the finished pipeline feeds a stage."""
CASES = [
    ("rollout", "stage.policy=car_racing", "stage.policy=car_racing drives CarRacing"),
    ("rollout", "stage.bursts=1", "stage.bursts is 1.0"),
    ("rollout", "stage.extends=nowhere", "nowhere does not exist"),
    ("rollout", "upstream=nowhere", "upstream=nowhere is of no use"),
    ("convert", "stage.source=nowhere", "stage.source=.*nowhere does not exist"),
    ("vae", "stage.scheduler_factor=2", "stage.scheduler_factor is 2"),
    ("vae", "stage.scheduler_patience=-1", "stage.scheduler_patience is -1"),
    ("vae", "stage.start_from=nowhere", "nowhere does not exist"),
    ("mdrnn", "stage.scheduler_factor=2", "stage.scheduler_factor is 2"),
    ("mdrnn", "stage.start_from=nowhere", "nowhere does not exist"),
    ("mdrnn", "stage.dataset_fraction=2", "stage.dataset_fraction is 2"),
    ("controller", "stage.start_from=nowhere", "nowhere.* does not exist"),
    ("evaluate", "stage.source=nowhere", "stage.source is of no use"),
    ("pixel", "stage.data.pin_memory=true", "stage.data.pin_memory=true is for device=cuda"),
    ("pixel", "stage.image_size=33", "takes pictures with an even side, not 33"),
    ("autoencoder", "stage.data.pin_memory=true", "stage.data.pin_memory=true is for device=cuda"),
    ("tokenizer", "stage.downsamplings=9", "stage.downsamplings is 9"),
    ("tokenizer", "stage.perceptual=lpips", "needs stage.perceptual_weights, a folder"),
    ("actor_critic", "stage.trace=2", "stage.trace is 2.0; it must lie in"),
    ("rem", "stage.schedule.world.first=0", "stage.schedule.world.first is 0"),
    ("token_world", "stage.seq_len=1", "stage.seq_len is 1; it must be at least 2"),
    ("token_world", "stage.heads=5", "stage.width is 96; it must be a multiple of .* 10"),
    ("play", "stage.height=20", "stage.height is 20"),
    ("play", "stage.pixel=nowhere", "nowhere.* is no run folder"),
    ("play", "stage.source=nowhere", "nowhere.* does not exist"),
    ("export", "stage.file=dream.txt", "must end in .html"),
    ("runs", "stage.typo=1", "stage.typo"),
    ("results", "stage.scores=nowhere", "stage.scores=nowhere has no JSON files of scores"),
    ("report", "stage.typo=1", "stage.typo"),
    ("doctor", "stage.typo=1", "stage.typo"),
    ("data", "stage.episodes=0", "stage.episodes is 0"),
    ("pipeline", "stage.rollout.policy=car_racing", "stage.rollout.policy=car_racing drives"),
    ("pipeline", "env.size=32", "stage=vae takes 64x64 frames and these are 32x32"),
    ("pipeline", "stage.vae.scheduler_factor=2", "stage.vae.scheduler_factor is 2"),
    ("pipeline", "stage.vae.start_from=nowhere", "nowhere does not exist"),
    ("pipeline", "stage.controller.start_from=nowhere", "nowhere.* does not exist"),
    ("pipeline", "stage.evaluate.source=nowhere", "stage.evaluate.source is of no use"),
    ("pipeline", "stage.iterations=0", "stage.iterations is 0"),
    ("pixel_pipeline", "stage.rollout.policy=car_racing", "drives CarRacing"),
    ("pixel_pipeline", "stage.pixel.image_size=33", "takes pictures with an even side, not 33"),
    ("pixel_pipeline", "stage.pixel.data.pin_memory=true", "is for device=cuda"),
    ("pixel_pipeline", "stage.evaluate.source=nowhere", "nowhere.* does not exist"),
]
LEVELS = ["env=coinrun", "env.num_levels=9", "stage.pixel.data.val_ratio=0.2"]


def arguments(stage: str, finished: Path) -> list[str]:
    if stage == "pipeline":
        return small_pipeline()
    if stage in FED_BY:
        return small(stage, f"upstream={finished / FED_BY[stage]}")
    return [f"stage={stage}", "env=pellet"]


@pytest.mark.parametrize(("stage", "key", "sentence"), CASES)
def test_it_is_refused_before_anything_is_written(
    stage: str,
    key: str,
    sentence: str,
    finished: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    outputs = tmp_path / "outputs"
    refused([*arguments(stage, finished), key, f"outputs={outputs}"], sentence, capsys)
    assert not outputs.exists()


def test_a_split_that_mixes_levels_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outputs = tmp_path / "outputs"
    words = "come from 9 levels, and only their own split keeps the levels apart"
    refused(["stage=pixel_pipeline", *LEVELS, f"outputs={outputs}"], words, capsys)
    assert not outputs.exists()


def test_every_stage_and_chain_has_a_case() -> None:
    assert {stage for stage, _, _ in CASES} == set(catalogue.names())


def test_frames_of_another_size_are_refused_by_v_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outputs = tmp_path / "outputs"
    assert main(small("rollout", "env.size=32", f"outputs={outputs}")) == 0
    upstream = newest(outputs)
    given = ["env.size=32", f"upstream={upstream}", f"outputs={tmp_path / 'more'}"]
    refused(small("vae", *given), "stage=vae takes 64x64 frames and these are 32x32", capsys)
    assert not (tmp_path / "more").exists()
