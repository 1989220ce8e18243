"""Any other venue, by way of ccxt."""
