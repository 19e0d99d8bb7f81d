"""The embedded database that ports bound to one folder share."""
