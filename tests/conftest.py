"""One thread a process: tests start processes of their own, and threads that wait for a busy core are very slow."""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported, and for the processes that tests start

import torch

torch.set_num_threads(1)
