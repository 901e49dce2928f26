"""Notes: list and add."""

from fastapi import APIRouter
from pydantic import BaseModel

router = APIRouter(prefix="/notes")
NOTES = ["buy milk"]


class Note(BaseModel):
    """A note as it is sent."""

    text: str


@router.get("")
async def listed() -> list[str]:
    """All notes."""
    return NOTES[:20]


@router.post("", status_code=201)
async def add(note: Note) -> Note:
    """Add one."""
    NOTES.append(note.text)
    return note
