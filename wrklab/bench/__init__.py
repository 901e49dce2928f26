"""Running a plan: each cell started, verified, loaded, sampled and stored. Effects and order, no interpretation."""
