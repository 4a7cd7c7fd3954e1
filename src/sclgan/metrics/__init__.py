"""Metrics of generated pictures: functions from rows of features or codes to an estimate.

Heusel et al. 2017 (Frechet distance of features), Binkowski et al. 2018 (kernel distance), Salimans et al. 2016
(Inception Score), Kynkaanniemi et al. 2019 (precision and recall), Xu et al. 2018 (R-precision), Hessel et al. 2021
(CLIP score). Only the value that the literature's own network, resize and sample
size give may be called FID, KID or IS; values of other networks are named after them (`fd_lite0`).
"""
