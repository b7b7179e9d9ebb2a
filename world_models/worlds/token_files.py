"""Where a run has its tokenizer, and what that has encoded."""

from pathlib import Path
from typing import NamedTuple

from world_models.data.store import EpisodeStore
from world_models.data.tokens import TokenStore
from world_models.models.tokenizers.tokenizer import Tokenizer
from world_models.runs.files import sha256
from world_models.runs.past import PastRun
from world_models.worlds.tokenizing import digest_of


class TokenFiles(NamedTuple):
    """The checkpoint of a tokenizer, and the manifest of the episodes that it has encoded."""

    tokenizer: Path
    episodes: Path


def token_files(run: PastRun) -> TokenFiles:
    """Those of a rem or tokenizer run, or those on which a token_world run was built."""
    if run.stage == "rem":
        tokenizer = run.path / "checkpoints" / "tokenizer" / "last.pt"
        return TokenFiles(tokenizer, run.path / "episodes" / "manifest.json")
    tokenizer = run.best if run.stage == "tokenizer" else run.input("tokenizer")
    return TokenFiles(tokenizer, run.input("episodes"))


def open_tokens(checkpoint: Path, tokenizer: Tokenizer, store: EpisodeStore) -> TokenStore:
    """The tokens of all episodes, which lie in the run folder of the tokenizer's checkpoint.

    Those of another tokenizer or store are a ValueError.
    """
    run = PastRun.holding(checkpoint)
    # rem saves its tokenizer in every epoch, and its tokens stay while the weights do
    digest = digest_of(tokenizer) if run.stage == "rem" else sha256(checkpoint)
    return TokenStore.open(run.path / "tokens", digest, store)
