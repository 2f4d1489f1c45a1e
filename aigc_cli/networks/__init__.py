"""Networks know tensors only: no losses, no models. The table names them without importing torch.

A network is called with Shapes, positionally, and its keyword-only settings; its output is linear (no squashing), of
the shape asked for. A generator, encoder or critic has forward(x, condition=None), a denoiser forward(x, time,
condition=None), a predictor of sequences forward(tokens, condition=None, cache=None), new_cache(n) and `context`, the
places that a cache holds (None: any number). An encoder of text has forward(tokens, among) and `width`, the size of the
vectors that it makes of places; a decoder of text has start(...), which returns its state, and forward(tokens, state).
"""

from __future__ import annotations

NETWORKS = {
    "mlp": "aigc_cli.networks.mlp:MLP",
    "dcgan_generator": "aigc_cli.networks.dcgan:Generator",
    "dcgan_critic": "aigc_cli.networks.dcgan:Critic",
    "resnet_generator": "aigc_cli.networks.resnet:Generator",
    "resnet_critic": "aigc_cli.networks.resnet:Critic",
    "stylegan2_generator": "aigc_cli.networks.stylegan2:Generator",
    "stylegan2_critic": "aigc_cli.networks.stylegan2_critic:Critic",
    "convolution_encoder": "aigc_cli.networks.convolution:Encoder",
    "convolution_decoder": "aigc_cli.networks.convolution:Decoder",
    "residual_encoder": "aigc_cli.networks.residual:Encoder",
    "residual_decoder": "aigc_cli.networks.residual:Decoder",
    "wavegan_generator": "aigc_cli.networks.wavegan:Generator",
    "wave_encoder": "aigc_cli.networks.wavegan:Encoder",
    "wavegan_critic": "aigc_cli.networks.wavegan:Critic",
    "wavenet": "aigc_cli.networks.wavenet:WaveNet",
    "edsr": "aigc_cli.networks.edsr:EDSR",
    "transformer": "aigc_cli.networks.transformer:Transformer",
    "recurrent": "aigc_cli.networks.recurrent:Recurrent",
    "unet": "aigc_cli.networks.unet:UNet",
    "time_critic": "aigc_cli.networks.time_critic:TimeCritic",
    "dit": "aigc_cli.networks.dit:DiT",
    "encoder_decoder": "aigc_cli.networks.encoder_decoder:EncoderDecoder",
    "patch": "aigc_cli.networks.patch:PatchCritic",
    "residual_translator": "aigc_cli.networks.residual_translator:ResidualTranslator",
    "transformer_encoder": "aigc_cli.networks.translation_transformer:Encoder",
    "transformer_decoder": "aigc_cli.networks.translation_transformer:Decoder",
    "lstm_encoder": "aigc_cli.networks.lstm:Encoder",
    "lstm_decoder": "aigc_cli.networks.lstm:AttentionDecoder",
    "lstm_latent_decoder": "aigc_cli.networks.lstm:LatentDecoder",
    "bert": "aigc_cli.networks.bert:Bert",
}

ROLES = {  # what each can be chosen for
    "mlp": ("generator", "critic", "encoder", "decoder"),
    "dcgan_generator": ("generator", "decoder"),
    "dcgan_critic": ("critic", "critic with inner features"),
    "resnet_generator": ("generator", "decoder"),
    "resnet_critic": ("critic", "critic with inner features"),
    "stylegan2_generator": ("generator", "decoder"),
    "stylegan2_critic": ("critic",),
    "convolution_encoder": ("encoder", "critic"),
    "convolution_decoder": ("generator", "decoder"),
    "residual_encoder": ("encoder",),
    "residual_decoder": ("decoder",),
    "wavegan_generator": ("generator", "decoder"),
    "wave_encoder": ("encoder",),
    "wavegan_critic": ("critic",),
    "wavenet": ("predictor of symbols",),
    "edsr": ("enlarger",),
    "transformer": ("predictor of symbols",),
    "recurrent": ("predictor of symbols",),
    "unet": ("denoiser", "denoiser with latents"),
    "time_critic": ("critic of noisy pictures",),
    "dit": ("denoiser",),
    "encoder_decoder": ("translator",),
    "patch": ("critic",),
    "residual_translator": ("painter",),
    "transformer_encoder": ("encoder of text",),
    "transformer_decoder": ("decoder of text from a source",),
    "lstm_encoder": ("encoder of text",),
    "lstm_decoder": ("decoder of text from a source",),
    "lstm_latent_decoder": ("decoder of text from a latent",),
    "bert": ("encoder of text",),
}
