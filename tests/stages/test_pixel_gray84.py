"""stage=pixel_gray84 as it composes: four grey frames of 84x84 and
the number of an action to the next grey frame.
"""

import numpy as np
import torch

from world_models.chains.catalogue import schemas
from world_models.config.compose import compose_config
from world_models.config.schema import register
from world_models.envs.make import make_spec
from world_models.envs.procgen import ProcgenConfig
from world_models.models.pixel_world_model import PixelWorldModel
from world_models.stages.pixel.build import make_model
from world_models.stages.pixel.config import PixelConfig


def test_stored_frames_and_numbered_actions_become_the_next_grey_frame() -> None:
    register(schemas())
    config = compose_config(["stage=pixel_gray84", "env=coinrun"]).config
    cfg, env = config.stage, config.env
    assert isinstance(cfg, PixelConfig) and isinstance(env, ProcgenConfig)
    torch.manual_seed(0)
    model = make_model(cfg, make_spec(env))
    assert isinstance(model, PixelWorldModel) and model.context == 4
    stored = np.random.default_rng(0).integers(0, 256, (3, 4, 64, 64, 3), dtype=np.uint8)
    frames = cfg.view(torch.from_numpy(stored), "cpu")
    assert frames.shape == (3, 4, 1, 84, 84) and 0 <= frames.min() < 0.2 and 0.8 < frames.max() <= 1
    with torch.no_grad():
        found = model.predict(frames[:, :, 0], torch.tensor([0, 7, 14]))
    assert found.shape == (3, 1, 84, 84) and found.dtype == torch.float32
    assert found.min() >= 0 and found.max() <= 1
