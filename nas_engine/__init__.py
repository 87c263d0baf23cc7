"""Architecture search: space, planners, evaluator, engine and store."""
