"""Files at GigaChat: their types, downloads from clients' URLs and uploads."""
