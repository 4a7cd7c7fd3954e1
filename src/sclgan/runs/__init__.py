"""Run folders: checkpoints, records, and opening a trained run."""
