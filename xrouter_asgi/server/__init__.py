"""uvicorn, with bounds on what its clients may do, and a drain before it stops."""
