"""What is true about money and access: frozen values and pure functions. No clock, no I/O, no framework, no float."""
