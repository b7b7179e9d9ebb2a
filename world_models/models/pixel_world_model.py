"""The plain encoder and decoder that draws each frame anew: the model to compare others with."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from world_models.models.pixel import (
    FiLM,
    PixelModel,
    PixelPrediction,
    group_norm,
    with_coordinates,
)

ENCODER_LAYERS = ((32, 4, 2), (64, 4, 2), (128, 4, 2), (256, 3, 1))
"""Channels, kernel and stride of the encoder's convolutions.

They have no padding: 84 pixels become 41, 19, 8, 6.
"""
DECODER_CHANNELS = (128, 64, 32, 32)
"""Channels of the decoder's 3x3 convolutions.

Before each the picture is enlarged to twice its size, before the last to its full size.
"""
SMALLEST_PICTURE = 38
"""Side of the smallest picture of which the encoder leaves anything."""


def narrowest(width_mult: float) -> int:
    """Channels of the narrowest layer."""
    return round(min(*DECODER_CHANNELS, *(width for width, _, _ in ENCODER_LAYERS)) * width_mult)


class PixelWorldModel(PixelModel):
    """Convolutions down and up again without skips.

    Every layer is normalised, then modulated by the embedded actions.
    """

    def __init__(
        self,
        img_channels: int,
        action_size: int,
        *,
        context: int = 4,
        past_actions: int = 4,
        action_embed_dim: int = 64,
        width_mult: float = 1.0,
    ) -> None:
        super().__init__()
        self.config = {
            "img_channels": img_channels,
            "action_size": action_size,
            "context": context,
            "past_actions": past_actions,
            "action_embed_dim": action_embed_dim,
            "width_mult": width_mult,
        }
        condition = past_actions * action_embed_dim
        self.embed = nn.Linear(action_size, action_embed_dim, bias=False)
        channels = img_channels * context + 2
        self.encoder = nn.ModuleList()
        self.encoder_films = nn.ModuleList()
        for wanted, kernel, stride in ENCODER_LAYERS:
            width = round(wanted * width_mult)
            self.encoder.append(
                nn.Sequential(nn.Conv2d(channels, width, kernel, stride), group_norm(width))
            )
            self.encoder_films.append(FiLM(condition, width))
            channels = width
        self.decoder = nn.ModuleList()
        self.decoder_films = nn.ModuleList()
        for wanted in DECODER_CHANNELS:
            width = round(wanted * width_mult)
            self.decoder.append(
                nn.Sequential(nn.Conv2d(channels, width, 3, padding=1), group_norm(width))
            )
            self.decoder_films.append(FiLM(condition, width))
            channels = width
        self.picture = nn.Conv2d(channels, img_channels, 3, padding=1)

    def forward(self, frames: Tensor, actions: Tensor) -> PixelPrediction:
        """frames (B, k, C, H, W) in [0, 1], actions (B, k, A) -> the next frame.

        H and W are at least SMALLEST_PICTURE.
        """
        self.check_inputs(frames, actions)
        size = frames.shape[-2:]
        condition = self.embed(actions[:, -self.config["past_actions"] :]).flatten(1)
        x = with_coordinates(frames.flatten(1, 2)).contiguous(memory_format=torch.channels_last)
        for layer, film in zip(self.encoder, self.encoder_films, strict=True):
            x = functional.relu(film(layer(x), condition))
        for number, (layer, film) in enumerate(
            zip(self.decoder, self.decoder_films, strict=True), start=1
        ):
            target = size if number == len(DECODER_CHANNELS) else (2 * x.shape[-2], 2 * x.shape[-1])
            x = functional.relu(film(layer(functional.interpolate(x, size=target)), condition))
        return PixelPrediction(torch.sigmoid(self.picture(x).float()))
