"""The paper's tables: what they compare, the trainings behind them, and their results beside the printed numbers."""
