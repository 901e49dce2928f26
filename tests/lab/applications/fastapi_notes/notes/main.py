"""The application."""

from fastapi import FastAPI

from .routers import notes

app = FastAPI()
app.include_router(notes.router, prefix="/api")


@app.get("/")
async def front() -> dict[str, str]:
    """The front page."""
    return {"service": "notes"}
