"""The peer: WaveGAN with gradient penalty as a plain loop, written after the paper alone: arXiv:1802.04208.

Networks of appendix D, phase shuffle of Section 3.3, five updates of the critic to one of the generator.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LATENT, SHUFFLE, CRITIC_STEPS, WEIGHT = 100, 2, 5, 10.0
FACTORS = (16, 8, 4, 2, 1)  # of the width, from the inside out: 16 samples grow to 16,384


class PlainGenerator(nn.Module):
    """Map noise (B, 100) to waves (B, 1, 16384)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner = FACTORS[0] * width
        self.enter = nn.Linear(LATENT, 16 * self.inner)
        channels = [factor * width for factor in FACTORS]
        self.layers = nn.ModuleList(
            nn.ConvTranspose1d(entering, leaving, 25, stride=4, padding=11, output_padding=1)
            for entering, leaving in zip(channels, [*channels[1:], 1], strict=True)
        )

    def forward(self, z: Tensor) -> Tensor:
        """Grow fourfold at each layer."""
        x = F.relu(self.enter(z).view(-1, self.inner, 16))
        for layer in self.layers[:-1]:
            x = F.relu(layer(x))
        return torch.tanh(self.layers[-1](x))


class PlainCritic(nn.Module):
    """Map waves (B, 1, 16384) to scores (B, 1)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        channels = [factor * width for factor in FACTORS[::-1]]
        self.layers = nn.ModuleList(
            nn.Conv1d(entering, leaving, 25, stride=4, padding=11)
            for entering, leaving in zip([1, *channels[:-1]], channels, strict=True)
        )
        self.leave = nn.Linear(16 * channels[-1], 1)

    def forward(self, x: Tensor) -> Tensor:
        """Shrink fourfold at each layer, shuffling phases between them."""
        for layer in self.layers[:-1]:
            x = shuffled(F.leaky_relu(layer(x), 0.2))
        return self.leave(F.leaky_relu(self.layers[-1](x), 0.2).flatten(1))


def shuffled(x: Tensor) -> Tensor:
    """Shift each sample by a few places of its own, filled up by reflection."""
    rows = []
    for row in x:
        shift = int(torch.randint(-SHUFFLE, SHUFFLE + 1, ()))
        before, after = max(shift, 0), max(-shift, 0)
        padded = F.pad(row[None], (before, after), mode="reflect")
        rows.append(padded[:, :, after : after + x.shape[2]])
    return torch.cat(rows)


class PlainWaveGAN:
    """Two networks, two optimisers, the Wasserstein loss and its penalty."""

    def __init__(self, width: int) -> None:
        self.generator, self.critic = PlainGenerator(width), PlainCritic(width)
        self.generator_optimizer = torch.optim.Adam(self.generator.parameters(), lr=1e-4, betas=(0.5, 0.9))
        self.critic_optimizer = torch.optim.Adam(self.critic.parameters(), lr=1e-4, betas=(0.5, 0.9))

    def parameters(self) -> int:
        """Count the parameters."""
        return sum(p.numel() for network in (self.generator, self.critic) for p in network.parameters())

    def cycle(self, real: Tensor) -> list[float]:
        """Update the critic five times and the generator once, and read what is logged."""
        logged = [self.critic_step(real) for _ in range(CRITIC_STEPS)]
        for parameter in self.critic.parameters():
            parameter.requires_grad = False
        self.generator_optimizer.zero_grad()
        loss = -self.critic(self.generator(noise(len(real)))).mean()
        loss.backward()
        self.generator_optimizer.step()
        for parameter in self.critic.parameters():
            parameter.requires_grad = True
        return [*logged, loss.item()]

    def critic_step(self, real: Tensor) -> float:
        """Update the critic once."""
        self.critic_optimizer.zero_grad()
        with torch.no_grad():
            fake = self.generator(noise(len(real)))
        share = torch.rand(len(real), 1, 1)
        between = (share * real + (1 - share) * fake).requires_grad_()
        scores = self.critic(between)
        (gradient,) = torch.autograd.grad(scores, between, torch.ones_like(scores), create_graph=True)
        penalty = ((gradient.flatten(1).norm(2, dim=1) - 1) ** 2).mean()
        loss = self.critic(fake).mean() - self.critic(real).mean() + WEIGHT * penalty
        loss.backward()
        self.critic_optimizer.step()
        return loss.item()


def noise(count: int) -> Tensor:
    """Draw latents as the paper does."""
    return torch.rand(count, LATENT) * 2 - 1
