"""Every broken input gives one line and its exit code, and `docs/refusals.md` shows exactly those lines."""
