"""The commands of the `tender` program, by noun, and what they share."""
