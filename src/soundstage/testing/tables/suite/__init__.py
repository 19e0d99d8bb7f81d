"""The conformance suite of the tables port: `main`, and `branches` for engines that have them."""
