"""The paper, arXiv 2511.11688: the problem, its two levels, and scipy's answer to compare with.

From outside: optimizer.optimize_schedule, problem.Settings, result.Schedule. Imports only hso_core.schedule."""
