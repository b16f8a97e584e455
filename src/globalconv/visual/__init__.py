"""Arrays and labels in, images out: palettes, overlays, legends and panels. Knows no tensor and no model."""
