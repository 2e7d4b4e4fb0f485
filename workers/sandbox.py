"""The sandbox as a process of its own, and what guards it: nothing."""

from pathlib import Path

from providers.sandbox import create_sandbox, http_call_back
from workers.clock import WallClock
from workers.http_server import serve

SANDBOX_KEY = "sk_test_sandbox"
SANDBOX_SECRET = "whsec_sandbox"  # noqa: S105  (the sandbox's; it guards nothing)


async def serve_sandbox(*, port: int, data_dir: Path, webhook_url: str) -> int:
    """Serve the sandbox payment provider and provisioning target, on the wall's clock."""
    api = webhook_url.removesuffix("/webhooks/stripe")
    sandbox = create_sandbox(
        data_dir,
        clock=WallClock().now,
        webhook_secret=SANDBOX_SECRET,
        webhook_target=webhook_url,
        call_back=http_call_back(api, (data_dir / "admin.key").read_text().strip()),
    )
    await serve(sandbox, host="127.0.0.1", port=port, grace=1)
    return 0
