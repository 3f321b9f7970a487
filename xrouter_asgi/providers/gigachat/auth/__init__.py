"""Who we are at GigaChat: credentials, tokens and the client that sends them."""
