"""Grow data from noise, step by step: functions of one signature that know time, but neither networks nor models.

All work where noise is added and nothing is shrunk, x = data + sigma noise: a model of another kind of noise scales its
x. So one equation serves them all, dx / dsigma = (x - data) / sigma (arXiv:2206.00364, Eq. 1 and 4). A sampler is given

- denoise(x, sigma): the data that the model sees in x (B, ...), whose noise has the deviation sigma;
- start(steps, spacing): where to begin, x, and the noise levels to pass, falling, the last one 0;
- a generator of random numbers, and its settings.

The table names them without importing torch.
"""

from __future__ import annotations

SAMPLERS = {
    "ancestral": "aigc_cli.samplers.first_order:ancestral",
    "ddim": "aigc_cli.samplers.first_order:ddim",
    "euler": "aigc_cli.samplers.first_order:euler",
    "heun": "aigc_cli.samplers.second_order:heun",
    "stochastic_heun": "aigc_cli.samplers.second_order:stochastic_heun",
    "dpm_solver": "aigc_cli.samplers.second_order:dpm_solver",
}
