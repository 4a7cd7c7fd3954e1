"""The two phases: pre-training the encoders, training the GAN; one loop, resumable."""
