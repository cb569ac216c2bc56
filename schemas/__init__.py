"""What travels on planstream's topics; knows no broker."""
