"""Ways of learning, one file each. The tables name them without importing torch."""

from __future__ import annotations

MODELS = {
    "gan": "aigc_cli.models.gan:GAN",
    "vae": "aigc_cli.models.vae:VAE",
    "diffusion": "aigc_cli.models.diffusion:Diffusion",
    "pix2pix": "aigc_cli.models.translation:Pix2Pix",
    "fast_style": "aigc_cli.models.style_transfer:FastStyle",
    "autoencoder": "aigc_cli.models.autoencoder:Autoencoder",
    "denoising_autoencoder": "aigc_cli.models.autoencoder:DenoisingAutoencoder",
    "vqvae": "aigc_cli.models.vqvae:VQVAE",
    "autoregressive": "aigc_cli.models.autoregressive:Autoregressive",
    "super_resolution": "aigc_cli.models.super_resolution:SuperResolution",
}

CORRUPTIONS = {
    "gaussian": "aigc_cli.models.corruptions:gaussian",
    "masking": "aigc_cli.models.corruptions:masking",
    "salt_and_pepper": "aigc_cli.models.corruptions:salt_and_pepper",
}

LOSSES = {
    "bce": "aigc_cli.models.adversarial:CrossEntropy",
    "hinge": "aigc_cli.models.adversarial:Hinge",
    "least_squares": "aigc_cli.models.adversarial:LeastSquares",
}

PENALTIES = {
    "none": "aigc_cli.models.adversarial:none",
    "r1": "aigc_cli.models.adversarial:r1",
}
