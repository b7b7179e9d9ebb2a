"""Every long part of a stage lies in a progress bar, which is never silent for long."""

from pathlib import Path

import pytest
from commands import recorded_bars, small

from world_models.main import main

OF_THE_PIPELINE = {
    "rollout": ["rollout"],
    "vae": ["check episodes", "frames for baselines", "judge on held-out frames", "latents"],
    "M": ["check latents", "validate M", "fit baselines of M", "mean picture"],
    "M judged": ["judge M one step ahead", "open loop: states at the starts", "open loop"],
    "dreams": ["show dreams", "write dream.mp4"],
    "controller": ["generations", "test"],
    "evaluate": ["evaluate", "play again to film"],
    "films": ["draw the films", "write best.mp4", "write median.mp4", "write worst.mp4"],
    "report": ["draw the report"],
}


@pytest.mark.parametrize("part", OF_THE_PIPELINE)
def test_long_parts_of_a_pipeline_have_a_bar(part: str, finished: Path, bars: list[str]) -> None:
    assert set(OF_THE_PIPELINE[part]) <= set(bars)


@pytest.mark.parametrize(
    ("stage", "keys", "parts"),
    [
        (
            "pixel",
            ["stage.max_steps=null", "stage.minutes=0.0001", "stage.rewards=true"],
            ["time a step", "go through windows", "judge rewards and ends"],
        ),
        ("autoencoder", [], ["validate the autoencoder"]),
        ("tokenizer", [], ["judge on held-out frames", "tokens"]),
    ],
)
def test_long_parts_of_other_stages_have_a_bar(
    finished: Path, tmp_path: Path, stage: str, keys: list[str], parts: list[str]
) -> None:
    labels: list[str] = []
    begin = small(stage, f"upstream={finished / 'rollout'}", f"outputs={tmp_path}")
    kept = [item for item in begin if item.split("=")[0] not in {key.split("=")[0] for key in keys}]
    with recorded_bars(labels):
        assert main([*kept, *keys]) == 0
    assert {"check episodes", "frames for baselines", *parts} <= set(labels)
    assert any(label.startswith("draw the report of") for label in labels)
