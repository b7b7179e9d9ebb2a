"""What runs say of their own quality: scores.json and quality.json, checked when they are read."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from world_models.runs.files import read_json
from world_models.runs.parsing import Count, Stored, Text, parsed

Share = Annotated[float, Field(ge=0, le=1)]


class Returns(Stored):
    """The returns of one player's episodes, and their summary."""

    returns: list[float] = Field(min_length=1)
    mean: float
    std: float = Field(ge=0)
    median: float
    # of the mean
    interval95: list[float] = Field(min_length=2, max_length=2)

    @property
    def between(self) -> tuple[float, float]:
        """The 95 % interval of the mean."""
        low, high = self.interval95
        return low, high


class AgentScores(Returns):
    """scores.json of an agent, and of the random policy on the first of its tracks."""

    env: Text
    backend: Text
    episodes: Count
    random: Returns
    # where the agent planned: how, and its controller without that, on the same tracks
    plan: dict[Text, Any] | None = None
    controller: Returns | None = None


class PixelScores(Stored):
    """scores.json of a next-frame model: rows as rollout_metrics.csv has them."""

    horizons: list[dict[Text, Any]] = Field(min_length=1)


class Picture(Stored):
    """How well one way to draw held-out frames does; dB, null where nothing moves."""

    name: Text
    components: Count
    mse: float | None
    psnr: float | None
    psnr_moving: float | None


class Quality(Stored):
    """quality.json of the best V; its own pictures come first."""

    pictures: list[Picture] = Field(min_length=1)
    active: Count
    latent_size: Count
    at_floor: Share
    # nats
    kl_tolerance: float
    kl_per_latent: list[float] = Field(min_length=1)


def read_scores(path: Path) -> AgentScores | PixelScores:
    """scores.json, of an agent or of a next-frame model; a damaged one is a ValueError."""
    content = read_json(path)
    if isinstance(content, dict) and "horizons" in content:
        return parsed(PixelScores, content, path)
    return parsed(AgentScores, content, path)


def read_quality(path: Path) -> Quality:
    """quality.json; a damaged one is a ValueError."""
    return parsed(Quality, read_json(path), path)


class TokenizerQuality(Stored):
    """quality.json of a tokenizer; its own pictures come first."""

    kind: Text
    frames: Count
    pictures: list[Picture] = Field(min_length=1)
    # of a frame; codes that there are, and that held-out frames use
    tokens: Count
    vocabulary: Count
    used: Count
    perplexity: float
    # of the frames
    exact: Share
    # how often each code is used, most first
    usage: list[Count] = Field(min_length=1)


def read_tokenizer_quality(path: Path) -> TokenizerQuality:
    """quality.json of a tokenizer; a damaged one is a ValueError."""
    return parsed(TokenizerQuality, read_json(path), path)
