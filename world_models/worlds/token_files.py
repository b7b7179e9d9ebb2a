"""Where a run has its tokenizer, and what that has encoded."""

from pathlib import Path

from world_models.data.store import EpisodeStore
from world_models.data.tokens import TokenStore
from world_models.models.tokenizers.tokenizer import Tokenizer
from world_models.runs.files import sha256
from world_models.runs.past import PastRun
from world_models.worlds.tokenizing import digest_of


def tokenizer_of(run: PastRun) -> Path:
    """The checkpoint of a rem or tokenizer run, or that on which a token_world run was built."""
    if run.stage == "rem":
        return run.path / "checkpoints" / "tokenizer" / "last.pt"
    return run.best if run.stage == "tokenizer" else run.input("tokenizer")


def episodes_of(run: PastRun) -> Path:
    """The manifest of the episodes that this tokenizer has encoded."""
    inside = run.path / "episodes" / "manifest.json"
    return inside if run.stage == "rem" else run.input("episodes")


def open_tokens(checkpoint: Path, tokenizer: Tokenizer, store: EpisodeStore) -> TokenStore:
    """The tokens of all episodes, which lie in the run folder of the tokenizer's checkpoint.

    Those of another tokenizer or store are a ValueError; so is a rem run that ended before its
    world model began, and has none.
    """
    run = PastRun.holding(checkpoint)
    folder = run.path / "tokens"
    if run.stage != "rem":
        return TokenStore.open(folder, sha256(checkpoint), store)
    if not (folder / "manifest.json").is_file():
        raise ValueError(
            f"{run.name} has encoded no episodes, as no world model learned in it: name it as the "
            "upstream of stage=tokenizer"
        )
    # its checkpoint changes with every epoch, and its tokens only when the weights do
    return TokenStore.open(folder, digest_of(tokenizer), store)
