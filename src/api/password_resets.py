from fastapi import APIRouter

router = APIRouter(prefix="/password-resets", tags=["password resets"])
