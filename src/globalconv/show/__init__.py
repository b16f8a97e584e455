"""Arrays and labels in, pictures out: palettes, overlays, legends, panels and a page. Knows no tensor and no model."""
