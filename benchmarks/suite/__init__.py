"""Database tests that run two ways: as this project runs its own, and with tables made for each test."""
