"""What may be asked of the world: one class per area, light, over the protocols in `activities.ports`."""
