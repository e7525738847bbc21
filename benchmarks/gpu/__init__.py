"""`make gpu-check`: what the README and docs say of GPUs, tried on the machine at hand."""
