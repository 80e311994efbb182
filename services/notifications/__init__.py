"""Messages to people: who hears of what, in which words, on which channel, and what came of it."""
