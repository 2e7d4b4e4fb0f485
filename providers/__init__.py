"""Other people's services, each behind a port: Stripe, provisioning, mail, documents; and the sandbox twins."""
