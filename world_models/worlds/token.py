"""A trained token world model, as its checkpoint holds it and as a world that goes on by itself."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from world_models.data.store import EpisodeStore
from world_models.data.token_windows import TokenWindows
from world_models.data.tokens import TokenStore
from world_models.data.windows import spread
from world_models.envs.spec import EnvSpec
from world_models.models.draws import Draws
from world_models.models.token_choice import DRAWINGS, Drawing
from world_models.models.token_world import TokenState, TokenWorldModel
from world_models.models.tokenizers.tokenizer import Tokenizer
from world_models.runs.checkpoint import Trained, load_checkpoint
from world_models.runs.numbers import require_finite, require_not_negative
from world_models.runs.parsing import damaged
from world_models.runs.stored_env import spec_of
from world_models.runs.weights import model_of
from world_models.worlds.starts import MOST_STARTS, Starts
from world_models.worlds.tokenizing import token_encoder
from world_models.worlds.world import Advance


@dataclass(frozen=True)
class TokenDreamer:
    """A token world model that is ready to dream, and of which environment."""

    model: TokenWorldModel
    env: EnvSpec
    # rows and columns of a frame's tokens
    grid: tuple[int, int]
    # frames that it has seen where a dream begins
    context: int
    step: int

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.model.ahead.device


Side = Annotated[int, Field(ge=1, le=4096)]


class TrainedTokenWorld(Trained):
    """best.pt of a token world model."""

    env: dict[str, Any]
    grid: Annotated[list[Side], Field(min_length=2, max_length=2)]
    context: Annotated[int, Field(ge=1, le=65_536)]


def load_token_model(path: Path, device: str = "cpu") -> TokenDreamer:
    """Read a token world model's `best.pt`, in eval mode; another file is a ValueError."""
    state = load_checkpoint(path, "token_world", device, TrainedTokenWorld)
    env = spec_of(state["env"], path)
    model = model_of(TokenWorldModel, state, path)
    rows, columns = state["grid"]
    if (rows * columns, env.action_space.size) != (model.places, model.config["action_size"]):
        raise damaged(path, "config is not of the tokens and actions of its grid and env")
    return TokenDreamer(
        model.eval().to(device), env, (rows, columns), state["context"], state["step"]
    )


def require_tokens_of(dreamer: TokenDreamer, tokenizer: Tokenizer, path: Path) -> None:
    """A tokenizer whose tokens the model at `path` does not read is a ValueError."""
    found = (tokenizer.vocabulary, tokenizer.grid)
    needed = (dreamer.model.config["vocabulary"], dreamer.grid)
    if found != needed:
        raise ValueError(
            f"{path} reads {needed[0]} codes on a grid of {needed[1]}, and its tokenizer has "
            f"{found[0]} on {found[1]}: train it again"
        )


@dataclass(frozen=True)
class TokenBeginnings:
    """Stored places at which dreams begin: windows of as many steps as a dream has seen frames."""

    windows: TokenWindows
    # (n,) numbers among the windows
    items: np.ndarray

    @classmethod
    def of(
        cls, windows: TokenWindows, opening: bool, count: int = MOST_STARTS
    ) -> "TokenBeginnings":
        """Up to `count` of the windows, evenly spread over the episodes.

        `opening`: one of each episode, its first.
        """
        context, windows_of = windows.seq_len, windows.windows_per_episode
        long_enough = np.array([row.length >= context for row in windows.rows])
        whole = np.where(long_enough, np.minimum(windows_of, 1) if opening else windows_of, 0)
        if not whole.sum():
            raise ValueError(
                f"no episode of {windows.store.folder} has {context} frames to begin a dream with: "
                "collect longer ones, or train a world with a smaller context"
            )
        return cls(windows, spread(whole, windows_of.cumsum() - windows_of, count)[0])

    def load(self, chosen: np.ndarray, device: torch.device) -> tuple[Tensor, Tensor]:
        """Frames (B, c, K) and the actions (B, c-1, A) between them."""
        batch = self.windows.__getitems__(self.items[chosen]).to(device)
        return batch.tokens[:, :-1], batch.actions[:, :-1]


def can_begin(store: EpisodeStore, context: int) -> bool:
    """Whether an episode has as many steps as a dream has seen frames where it begins."""
    return any(row.length >= context for row in store.rows)


def beginnings(
    dreamer: TokenDreamer,
    store: EpisodeStore,
    tokens: TokenStore,
    starts: Starts = Starts.anywhere,
) -> TokenBeginnings:
    """Where dreams begin: in held-out episodes; where none is long enough, in training ones."""
    held_out = any(row.length >= dreamer.context for row in store.episodes("validation"))
    split = "validation" if held_out else "train"
    to_model = dreamer.env.action_space.to_model
    windows = TokenWindows(store, tokens, split, dreamer.context, to_model=to_model)
    return TokenBeginnings.of(windows, opening=starts is Starts.episode)


@dataclass(frozen=True)
class TokenWorld:
    """A token world model going on by itself; what it shows are decoded frames."""

    dreamer: TokenDreamer
    tokenizer: Tokenizer
    # None: see `after_frames`
    starts: TokenBeginnings | None
    # 0: the likeliest tokens
    temperature: float = 1.0
    # how the tokens of a frame are drawn: see `models/token_choice.py`
    drawing: str = "independent"

    def __post_init__(self) -> None:
        require_finite("dream.", self, "temperature")
        require_not_negative("dream", self, "temperature")
        if self.drawing not in DRAWINGS:
            raise ValueError(f"dream.drawing is {self.drawing}; it must be {' or '.join(DRAWINGS)}")

    @property
    def model(self) -> TokenWorldModel:
        """What foresees."""
        return self.dreamer.model

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.dreamer.device

    @property
    def env(self) -> EnvSpec:
        """The environment that the model stands for."""
        return self.dreamer.env

    @property
    def context(self) -> int:
        """Frames that it has seen where a dream begins."""
        return self.dreamer.context

    @property
    def num_starts(self) -> int:
        """How many stored windows there are to begin at."""
        return 0 if self.starts is None else len(self.starts.items)

    @torch.no_grad()
    def begin(self, starts: np.ndarray, draws: Draws | None = None) -> TokenState:
        """The windows of these numbers (B,), at whose last frames the episodes begin."""
        assert self.starts is not None, starts
        return self.model.begin(*self.starts.load(starts, self.device))

    @torch.no_grad()
    def after(self, tokens: Tensor, actions: Tensor) -> TokenState:
        """The state after frames (B, c, gh, gw) and the actions (B, c-1, A) between them."""
        return self.model.begin(tokens.flatten(2), actions)

    @torch.no_grad()
    def after_frames(self, frames: np.ndarray, actions: np.ndarray) -> TokenState:
        """The state (1, ...) of an episode whose newest frames are these.

        frames (c, H, W, C) uint8 as the environment gives them, and the actions (c-1, ...) done at
        all of them but the last.
        """
        assert len(frames) == len(actions) + 1, (len(frames), len(actions))
        tokens = self.encode(frames)
        space = self.env.action_space
        done = torch.zeros(1, len(actions), space.size, device=self.device)
        if len(actions):
            done[0] = torch.from_numpy(space.to_model(actions))
        return self.after(tokens[None], done)

    @torch.no_grad()
    def advance(self, state: TokenState, actions: Tensor, draws: Draws) -> Advance[TokenState]:
        """One step of all rows: the actions (B, A), done at the newest frames, lead to the next."""
        draw = DRAWINGS[Drawing(self.drawing)]
        state, found = self.model.step(
            state, actions, lambda logits: draw(logits, draws, self.temperature)
        )
        reward = self.model.reward_code.decode(found.reward[:, 0])
        return Advance(state, reward, found.done[:, 0])

    def encode(self, frames: np.ndarray) -> Tensor:
        """Frames (n, H, W, C) uint8 as the environment gives them -> tokens (n, gh, gw)."""
        given = torch.from_numpy(np.require(frames, requirements="W"))
        return token_encoder(self.tokenizer, str(self.device))(given)

    def tokens(self, state: TokenState) -> Tensor:
        """The newest frames as tokens, (B, gh, gw) int64."""
        return state.tokens.unflatten(1, self.dreamer.grid)

    @torch.no_grad()
    def observe(self, state: TokenState) -> Tensor:
        """The newest frames (B, H, W, C) uint8."""
        frames = self.tokenizer.decode(self.tokens(state))
        return (frames * 255).round().byte().permute(0, 2, 3, 1)

    def picture(self, state: TokenState) -> Tensor:
        """The newest frames (B, H, W, 3) uint8."""
        frames = self.observe(state)
        return frames.expand(*frames.shape[:3], 3)
