"""Where everything that must survive is kept. The database is the truth; the rest is a doorbell."""
