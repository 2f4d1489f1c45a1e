"""Ways of learning, one file each. The tables name them without importing torch."""

from __future__ import annotations

MODELS = {
    "gan": "aigc_cli.models.gan:GAN",
    "vae": "aigc_cli.models.vae:VAE",
    "vae_gan": "aigc_cli.models.vae_gan:VAEGAN",
    "diffusion": "aigc_cli.models.diffusion:Diffusion",
    "denoising_diffusion_gan": "aigc_cli.models.denoising_diffusion_gan:DenoisingDiffusionGAN",
    "pix2pix": "aigc_cli.models.translation:Pix2Pix",
    "fast_style": "aigc_cli.models.style_transfer:FastStyle",
    "autoencoder": "aigc_cli.models.autoencoder:Autoencoder",
    "denoising_autoencoder": "aigc_cli.models.autoencoder:DenoisingAutoencoder",
    "vqvae": "aigc_cli.models.vqvae:VQVAE",
    "autoregressive": "aigc_cli.models.autoregressive:Autoregressive",
    "super_resolution": "aigc_cli.models.super_resolution:SuperResolution",
    "text_vae": "aigc_cli.models.text_vae:TextVAE",
    "seq2seq": "aigc_cli.models.seq2seq:Seq2Seq",
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
    "wasserstein": "aigc_cli.models.adversarial:Wasserstein",
}

NOISES = {
    "linear": "aigc_cli.models.noise_schedules:linear",
    "cosine": "aigc_cli.models.noise_schedules:cosine",
    "sigmoid": "aigc_cli.models.noise_schedules:sigmoid",
    "log_normal": "aigc_cli.models.noise_schedules:LogNormal",
    "flow": "aigc_cli.models.noise_schedules:Flow",
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
