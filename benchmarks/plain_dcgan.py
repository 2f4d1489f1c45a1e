"""The peer: DCGAN as the official PyTorch tutorial trains it, written anew as a plain loop without any framework.

Same layers, losses and optimiser calls as https://docs.pytorch.org/tutorials/beginner/dcgan_faces_tutorial.html
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

LATENT, WIDTH, COLOURS = 100, 64, 3


def generator_layers(width: int = WIDTH) -> nn.Sequential:
    """Map noise (B, 100, 1, 1) to pictures (B, 3, 64, 64)."""
    layers: list[nn.Module] = [nn.ConvTranspose2d(LATENT, width * 8, 4, 1, 0, bias=False)]
    for factor in (8, 4, 2):
        layers += [nn.BatchNorm2d(width * factor), nn.ReLU(True)]
        layers.append(nn.ConvTranspose2d(width * factor, width * factor // 2, 4, 2, 1, bias=False))
    layers += [nn.BatchNorm2d(width), nn.ReLU(True)]
    return nn.Sequential(*layers, nn.ConvTranspose2d(width, COLOURS, 4, 2, 1, bias=False), nn.Tanh())


def critic_layers(width: int = WIDTH) -> nn.Sequential:
    """Map pictures (B, 3, 64, 64) to probabilities (B, 1, 1, 1)."""
    layers: list[nn.Module] = [nn.Conv2d(COLOURS, width, 4, 2, 1, bias=False), nn.LeakyReLU(0.2, inplace=True)]
    for factor in (1, 2, 4):
        layers.append(nn.Conv2d(width * factor, width * factor * 2, 4, 2, 1, bias=False))
        layers += [nn.BatchNorm2d(width * factor * 2), nn.LeakyReLU(0.2, inplace=True)]
    return nn.Sequential(*layers, nn.Conv2d(width * 8, 1, 4, 1, 0, bias=False), nn.Sigmoid())


def initialise(module: nn.Module) -> None:
    """Draw weights as the paper does."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
        nn.init.zeros_(module.bias)


class PlainDCGAN:
    """Two networks, two optimisers, one loss."""

    def __init__(self, width: int = WIDTH, device: torch.device | None = None) -> None:
        self.generator, self.critic = generator_layers(width).to(device), critic_layers(width).to(device)
        self.generator.apply(initialise)
        self.critic.apply(initialise)
        self.loss = nn.BCELoss()
        self.critic_optimizer = torch.optim.Adam(self.critic.parameters(), lr=2e-4, betas=(0.5, 0.999))
        self.generator_optimizer = torch.optim.Adam(self.generator.parameters(), lr=2e-4, betas=(0.5, 0.999))

    def parameters(self) -> int:
        """Count the parameters."""
        return sum(p.numel() for network in (self.generator, self.critic) for p in network.parameters())

    def step(self, real: Tensor) -> list[float]:
        """Update both networks as the tutorial does, and read what it logs."""
        self.critic.zero_grad()
        label = torch.full((len(real),), 1.0, device=real.device)
        output = self.critic(real).view(-1)
        real_loss = self.loss(output, label)
        real_loss.backward()
        real_score = output.mean().item()

        noise = torch.randn(len(real), LATENT, 1, 1, device=real.device)
        fake = self.generator(noise)
        label.fill_(0.0)
        output = self.critic(fake.detach()).view(-1)
        fake_loss = self.loss(output, label)
        fake_loss.backward()
        fake_score = output.mean().item()
        critic_loss = real_loss + fake_loss
        self.critic_optimizer.step()

        self.generator.zero_grad()
        label.fill_(1.0)
        output = self.critic(fake).view(-1)
        generator_loss = self.loss(output, label)
        generator_loss.backward()
        fooled_score = output.mean().item()
        self.generator_optimizer.step()
        return [critic_loss.item(), generator_loss.item(), real_score, fake_score, fooled_score]
