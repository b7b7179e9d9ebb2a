"""A tokenizer of your own: python examples/extend_tokenizer.py stage=tokenizer stage.kind=sphere"""

import sys

from torch.nn import functional

from world_models.main import main
from world_models.models.tokenizers.vq import VQTokenizer
from world_models.worlds.tokenizing import TOKENIZERS


class SphereTokenizer(VQTokenizer):
    """A VQ-VAE whose features all have the length 1, so that their direction chooses the code."""

    def features(self, frames):
        """frames (B, C, S, S) in [0, 1] -> what is quantised, (B, D, gh, gw)."""
        return functional.normalize(super().features(frames), dim=1)


TOKENIZERS["sphere"] = SphereTokenizer

if __name__ == "__main__":
    sys.exit(main())
