"""From the host's memory to the device's, without waiting."""
