"""Webhooks: what happened to payments, told to merchants by signed HTTPS calls."""
