"""What the framework itself costs: one route that does nothing, for comparison."""

from fastapi import FastAPI

app = FastAPI()


@app.get("/")
async def empty() -> dict[str, str]:
    """Nothing."""
    return {}
