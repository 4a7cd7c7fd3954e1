"""How good generated pictures are: features, statistics of features, distances, and named protocols.

Heusel et al. 2017 (Frechet distance of features), Binkowski et al. 2018 (kernel distance), Salimans et al. 2016
(Inception Score), Kynkaanniemi et al. 2019 (precision and recall), Xu et al. 2018 (R-precision), Hessel et al. 2021
(CLIP score). Only the value that the literature's own network, resize and sample
size give may be called FID, KID or IS; what other networks give is named after them (`fd_lite0`).
"""
