"""The scarce resource: what the card can do, who may use its encoder, and how busy it is."""
