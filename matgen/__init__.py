"""matgen: generative discovery of materials with domain knowledge inside the models."""

__version__ = "0.1.0"
