"""Ways of learning, one file each. The tables name them without importing torch."""

from __future__ import annotations

MODELS = {
    "gan": "aigc_cli.models.gan:GAN",
    "vae": "aigc_cli.models.vae:VAE",
    "vae_gan": "aigc_cli.models.vae_gan:VAEGAN",
    "diffusion": "aigc_cli.models.diffusion:Diffusion",
}

LOSSES = {
    "bce": "aigc_cli.models.adversarial:CrossEntropy",
    "hinge": "aigc_cli.models.adversarial:Hinge",
    "least_squares": "aigc_cli.models.adversarial:LeastSquares",
    "wasserstein": "aigc_cli.models.adversarial:Wasserstein",
}

PENALTIES = {
    "none": "aigc_cli.models.penalties:NoPenalty",
    "clip": "aigc_cli.models.penalties:Clip",
    "gradient": "aigc_cli.models.penalties:GradientPenalty",
    "r1": "aigc_cli.models.penalties:R1",
}

AUGMENTATIONS = {
    "none": "aigc_cli.models.augmentations:NoAugmentation",
    "diffaugment": "aigc_cli.models.augmentations:DiffAugment",
    "adaptive": "aigc_cli.models.augmentations:AdaptiveAugmentation",
}

REGULARISERS = {
    "none": "aigc_cli.models.path_length:NoRegulariser",
    "path_length": "aigc_cli.models.path_length:PathLength",
}
