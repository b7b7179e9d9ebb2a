"""Where an agent loses its points: on each track the longest time without a new tile, and what V
and M knew of it.

    python -m benchmarks.hard_tracks car_racing <evaluation's run folder>/scores.json sheet.png

Plays again, on the environment that the scores are of, the tracks on which the agent did worst and
as many on which it did best. For the stretch without a reward and for the rest of the episode: how
exact V's pictures are (PSNR) and how surprised M was by the next z (nats; more is worse). The
picture shows the stretches, each above V's picture of it.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch

from world_models.agents.agent import Agent, load_agent
from world_models.agents.rollout import interact
from world_models.agents.trained import find_agent
from world_models.envs.make import Backend, make_vector_env
from world_models.figures.media import labelled_rows, save_png
from world_models.losses import gmm_loss
from world_models.measures.vision import psnr
from world_models.pools.pool import one_thread

TILES = 10


def played(agent: Agent, backend: str, seeds: list[int]) -> list[dict[str, np.ndarray]]:
    """Frames (T, H, W, C), actions and rewards of one episode per seed."""
    envs = make_vector_env(agent.env, Backend(backend), len(seeds))
    columns: list[dict[str, list[np.ndarray]]] = [
        {"frames": [], "actions": [], "rewards": []} for _ in seeds
    ]
    for step in interact(envs, agent.policy(), seeds):
        for place, row in enumerate(step.rows):
            for name, values in (
                ("frames", step.observations),
                ("actions", step.actions),
                ("rewards", step.rewards),
            ):
                columns[row][name].append(values[place])
    envs.close()
    return [{name: np.stack(values) for name, values in episode.items()} for episode in columns]


def longest_gap(rewards: np.ndarray) -> tuple[int, int]:
    """First step, and the step after the last, of the longest stretch without a positive reward."""
    gained = np.concatenate([[-1], np.flatnonzero(rewards > 0), [len(rewards)]])
    longest = int(np.diff(gained).argmax())
    return int(gained[longest]) + 1, int(gained[longest + 1])


@torch.inference_mode()
def known(
    agent: Agent, episode: dict[str, np.ndarray]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """V's pictures (T, H, W, C), their squared errors (T,), and M's nats for each next z (T-1,)."""
    world, frames = agent.world, episode["frames"]
    latents = world.encode(frames)
    seen = world.decode(latents)
    errors = np.square((seen.astype(np.float64) - frames) / 255).mean((1, 2, 3))
    executed = torch.from_numpy(world.env.action_space.to_model(episode["actions"]))
    nats = []
    followed = world.memory.follow(latents[:-1, None], executed[: len(frames) - 1, None])
    for after, (_, (h, _)) in zip(latents[1:, None], followed, strict=True):
        mixture = world.memory.foresee(h)[:3]
        nats.append(float(gmm_loss(after, *mixture, reduce=False)))
    return seen, errors, np.array(nats)


def main() -> None:
    """Print the table and write the picture."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("agent")
    parser.add_argument("scores", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument(
        "--tracks", type=int, default=6, help="so many of the worst, and of the best"
    )
    options = parser.parse_args()
    agent, scores = load_agent(find_agent(options.agent)), json.loads(options.scores.read_text())
    order = np.argsort(scores["returns"])
    chosen = [int(index) for index in (*order[: options.tracks], *order[-options.tracks :])]
    rows: dict[str, np.ndarray] = {}
    print("return   steps   no tile from..to   PSNR, dB: then  else   nats: then  else")
    with one_thread():
        episodes = played(agent, scores["backend"], [scores["seeds"][index] for index in chosen])
        for place, episode in enumerate(episodes):
            first, after = longest_gap(episode["rewards"])
            seen, errors, nats = known(agent, episode)
            inside = (np.arange(len(errors)) >= first) & (np.arange(len(errors)) < after)
            quality = [psnr(float(errors[which].mean())) for which in (inside, ~inside)]
            surprise = [float(nats[which[1:]].mean()) for which in (inside, ~inside)]
            total = float(episode["rewards"].sum())
            print(
                f"{total:6.0f} {len(errors):7} {first:10} ..{after:5} {quality[0]:16.1f} "
                f"{quality[1]:5.1f} {surprise[0]:11.1f} {surprise[1]:5.1f}",
                flush=True,
            )
            if place < options.tracks:
                begin, end = max(0, first - 10), min(after + 10, len(errors))
                shown = np.linspace(begin, end - 1, TILES).round().astype(int)
                rows |= {f"{total:.0f}": episode["frames"][shown], "V" + " " * place: seen[shown]}
    save_png(options.picture, labelled_rows(rows))


if __name__ == "__main__":
    main()
