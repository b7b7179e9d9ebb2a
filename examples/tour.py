# %% [markdown]
# From a finished run to a film of its dream. Each cell runs by itself in an editor or, through
# jupytext, in a notebook; as a script: python examples/tour.py <run folder> [<film.mp4>]
# %%
import sys
from pathlib import Path

import numpy as np

import world_models
from world_models.figures.media import save_video

run = world_models.load(sys.argv[1] if len(sys.argv) > 1 else "car_racing")
film = Path(sys.argv[2] if len(sys.argv) > 2 else "tour.mp4")
print(run, "made for", run.env.id)

# %% What was measured: tables of numpy arrays
for name, table in run.metrics.items():
    print(f"{name}: {', '.join(table)}")

# %% Play in the environment itself, behind what V and M make of its frames
real = run.real(num_envs=4)
seen, _ = real.reset(seed=1)
returns = np.zeros(4)
for _ in range(20):
    seen, rewards, *_ = real.step(run.agent(seen))
    returns += rewards
print("rewards of 20 steps:", returns)

# %% Play on in the dream: the same agent, no environment
dream = run.dream(num_envs=4, max_steps=60, temperature=1.0)
seen, _ = dream.reset(seed=1)
pictures = [dream.render()]
for _ in range(60):
    seen, rewards, terminated, truncated, _ = dream.step(run.agent(seen))
    pictures.append(dream.render())

# %% Look: four dreams side by side
save_video(film, [np.concatenate(four, axis=1) for four in pictures], fps=15)
print("look at", film)
