"""Running a plan: each cell started, verified, warmed up, loaded, sampled and stored. Effects and their order, no interpretation."""
