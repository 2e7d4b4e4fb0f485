"""What happens over time: one file per lifecycle. A workflow decides when, asks activities, and never computes."""
