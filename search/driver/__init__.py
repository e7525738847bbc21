"""The search on its machines: Ray, state, resources, screen."""
