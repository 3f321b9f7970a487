"""What ASGI leaves to the application: paths, routes, bodies, clients that leave, answers, the end of a process."""
