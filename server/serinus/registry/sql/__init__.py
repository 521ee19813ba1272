"""The registry's database: its schema, its transactions, and what is read and written in them."""
