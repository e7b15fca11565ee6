"""The payment service: one image, roles `api` and `worker`, and one-shot commands."""
