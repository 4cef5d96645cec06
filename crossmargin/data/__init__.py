"""Tables that come with the package, each with its source beside or inside it. Holds no code."""
