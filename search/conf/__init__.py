"""Configuration files: `config.yaml`, `space/*.yaml`, `data/*.yaml`."""
