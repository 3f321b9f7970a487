"""What ASGI leaves to the application: paths, bodies, clients that leave, answers, the end of a process."""
