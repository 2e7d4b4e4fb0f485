"""How people and systems speak to us: one router per noun, one way to say that something is wrong."""
