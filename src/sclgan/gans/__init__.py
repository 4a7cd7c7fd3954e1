"""The GANs, one file per paper."""
