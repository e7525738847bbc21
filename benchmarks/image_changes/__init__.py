"""Whether preparing images in another way, or averaging over views of an image, pays on shifted validation."""
