"""Sixteen small variants, each a plugin, that prove the contract: they run through the engine as it is."""

VARIANTS = (
    "dcgan",
    "lsgan",
    "wgan",
    "wgan-gp",
    "infogan",
    "projection",
    "acgan",
    "vae",
    "r3gan",
    "stylegan2",
    "ada",
    "projected",
    "began",
    "cyclegan",
    "bigan",
    "progan",
)
