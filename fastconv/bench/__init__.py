# SPDX-License-Identifier: BSD-3-Clause
"""`fastconv bench`: published layers, timed against the frameworks that are installed.

shapes     the layers, and their classes
machine    the limits of the machine: peak and memory bandwidth; how much memory there is to use
timing     contestants timed in turns
peers      how torch and onnxruntime run a layer
ours       how fastconv runs it, and how far from float64 the result is
nets       a training step and inference of whole networks
run        the cases of a run, and the loop over them
table      results as text; record: as JSON; picture: as a roofline and bars
"""
