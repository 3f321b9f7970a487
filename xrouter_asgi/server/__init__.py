"""uvicorn with bounds on its clients, and with a drain before it stops."""
