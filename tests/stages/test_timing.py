"""timing.csv says how fast a stage trains: what lies between, judging, is no part of it."""

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from commands import newest, small

from world_models.main import main
from world_models.runs import training
from world_models.runs.metrics import read_csv
from world_models.stages import autoencoder, mdrnn, tokenizer, vae

HOURS = 36_000.0


@pytest.mark.parametrize(
    ("stage", "module", "upstream", "part"),
    [
        pytest.param("vae", vae, "rollout", "validate", marks=pytest.mark.slow),
        ("mdrnn", mdrnn, "vae", "validate"),
        ("autoencoder", autoencoder, "rollout", "save_reconstructions"),
        ("tokenizer", tokenizer, "rollout", "log_line"),
    ],
)
def test_judging_is_no_part_of_the_rate(
    finished: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    stage: str,
    module: Any,
    upstream: str,
    part: str,
) -> None:
    late = [0.0]
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + late[0])
    monkeypatch.setattr(training, "time", clock)
    judge = getattr(module, part)

    def slow(*args: Any) -> Any:
        late[0] += HOURS
        return judge(*args)

    monkeypatch.setattr(module, part, slow)
    assert main(small(stage, f"upstream={finished / upstream}", f"outputs={tmp_path}")) == 0
    rows = read_csv(newest(tmp_path) / "timing.csv")
    assert len(rows) >= 2 and late[0] >= 2 * HOURS
    assert all(float(row["seconds"]) < HOURS for row in rows)
