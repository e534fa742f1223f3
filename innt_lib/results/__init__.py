"""From trained networks to tables, verdicts and pictures."""
